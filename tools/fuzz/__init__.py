"""Hostile texts against the parts that read what users write.

``PYTHONPATH=tools python -m fuzz --seed N --count M`` runs as long as it is told to; ``tests/hostile`` runs a bounded
part of the same. Equal seeds give equal texts.
"""
