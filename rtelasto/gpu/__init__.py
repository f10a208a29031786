"""The GPU back-end: the same stages as `rtelasto.cpu`, with the same file names and the same contracts."""
