"""The cost of a flood of malformed messages for the live stream: ``python -m benchmarks.flood``."""
