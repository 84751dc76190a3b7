"""Breaks the service on purpose, one invariant at a time in a copy of the tree, and sees which test notices."""
