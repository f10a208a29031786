"""Behind `rtelasto.cpu.beamform`: its settings and filters."""
