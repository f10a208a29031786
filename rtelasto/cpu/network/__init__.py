"""Behind `rtelasto.cpu.engine`: the runtimes that execute a network."""
