"""How roles talk: doorbells and one verb, ``exchange``; over oslo.messaging or by direct calls."""
