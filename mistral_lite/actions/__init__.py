"""Actions: the standard ones, the registry of installed ones, and the context they run in."""
