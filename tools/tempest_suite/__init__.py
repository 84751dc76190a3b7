"""The tempest plugin of Mistral against a service with a genuine Keystone; see ``docs/tempest.rst``."""
