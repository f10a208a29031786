"""Services around the host machine: signals, threads, terminal encodings, compiled code."""
