"""The engine: load, decide, apply, commit, then answer and ring. It owns every unfinished execution."""
