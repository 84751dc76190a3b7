"""How roles talk: doorbells and one verb, ``exchange``; over oslo.messaging or by direct calls."""

import warnings

# A library of oslo.messaging imports eventlet if it finds it, and eventlet then says that it is deprecated. No
# operator can act on that, and nothing here uses it. Here, because it must stand before that import.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
