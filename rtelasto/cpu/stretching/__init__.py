"""The global elongation of a pair, used by `rtelasto.cpu.stretch`."""
