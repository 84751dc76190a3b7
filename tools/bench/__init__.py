"""Measures deployments through the public REST API: ``python -m tools.bench`` from the top of the tree.

``client`` speaks HTTP, ``definitions`` holds workflow texts, ``workloads`` says what is done with them and what
is counted, ``deployments`` starts and stops what is measured, ``results`` turns figures into tables. Nothing
here imports the service: what is measured is what a user gets.
"""
