"""How long tests wait for a process, a thread or a message before they fail."""

WAIT_S = 600.0
"""Much longer than anything takes: a busy machine is no fault, and a test that hangs still ends."""
