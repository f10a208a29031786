"""What a flood of rubbish costs the live stream: ``python -m benchmarks.flood``."""
