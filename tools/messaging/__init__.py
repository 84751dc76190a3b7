"""A genuine Zaqar to test against: from PyPI, in a virtual environment of its own, over a Redis of its own."""
