"""The trainer service: one framework, its runs as worker processes. It imports no framework itself."""
