"""Version 2 of the API, one module per noun."""
