"""What the machine brings along: signals, threads, terminals' encodings, code compiled for its processor."""
