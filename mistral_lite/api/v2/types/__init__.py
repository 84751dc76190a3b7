"""WSME types of request bodies, one class per noun, and the value types they are made of."""
