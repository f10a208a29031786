"""Measurements of a running plugin: real processes on the real wire, beside the machine's own limits."""
