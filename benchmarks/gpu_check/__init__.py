"""All checks that need a machine with a GPU, in one command: ``python -m benchmarks.gpu_check``."""
