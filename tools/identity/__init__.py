"""A genuine Keystone to test against: from PyPI, in a virtual environment of its own, on SQLite."""
