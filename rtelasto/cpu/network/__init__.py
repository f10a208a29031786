"""The runtimes that execute a network, used by `rtelasto.cpu.engine`."""
