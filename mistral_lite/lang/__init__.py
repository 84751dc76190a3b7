"""The workflow language: text to checked, frozen specs. No I/O, no database, no engine."""
