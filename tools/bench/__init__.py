"""Measures deployments through the public REST API: ``python -m tools.bench`` from the top of the tree.

``client`` speaks HTTP, ``definitions`` holds workflow texts, ``workloads`` says what is done with them and what
is counted; ``deployments`` starts and stops ours, ``reference`` the genuine Mistral, ``installs`` gets what is
compared with. The parts of a run: ``comparison`` (with ``results``), ``limit``, ``profiles``, ``peers``, ``growth``
and ``engines``; ``report`` turns what they found into text. Nothing here imports the service: what is measured is
what a user gets.
"""
