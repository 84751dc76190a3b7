"""Task policies, in the order that the language fixes: pause-before, wait-before, wait-after, fail-on,
retry, timeout, concurrency. Some act when a task begins (``before``), some when it ends (``after``).
"""
