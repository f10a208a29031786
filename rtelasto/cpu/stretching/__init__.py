"""Behind `rtelasto.cpu.stretch`: the global elongation of a pair."""
