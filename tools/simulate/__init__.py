"""A whole service in one thread: virtual time, a network that loses and repeats, processes that die at any step."""
