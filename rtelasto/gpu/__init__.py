"""The GPU back-end: the CPU one's sibling, with the same file names and the same contracts."""
