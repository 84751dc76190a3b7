"""The command ``mistral-lite``: the only place that wires the parts together."""
