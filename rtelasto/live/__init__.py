"""A live run: its process, its supervisor and the parts beside it."""
