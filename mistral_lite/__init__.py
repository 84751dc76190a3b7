"""A durable workflow service for the Mistral v2 REST API and the Mistral language 2.0."""

__version__ = "0.1.0"
