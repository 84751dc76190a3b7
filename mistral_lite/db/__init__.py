"""The only package with SQL. Rows never leave it: callers get plain data or the core's frozen shapes."""
