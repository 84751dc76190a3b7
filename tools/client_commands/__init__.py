"""Every command of the official client, on a genuine Mistral and here; see ``docs/client.rst``."""
