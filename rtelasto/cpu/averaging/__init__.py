"""Behind the average over time (`rtelasto.cpu.pattern_average`): what a pair contributes, and the sums."""
