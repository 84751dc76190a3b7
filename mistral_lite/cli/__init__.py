"""The command ``mistral-lite``: the only place that wires the parts together."""

import warnings

# oslo.messaging imports eventlet, which says at every start that it is deprecated. Nothing here uses it, and no
# operator can act on it. Here, because it must stand before the first import of oslo.messaging.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
