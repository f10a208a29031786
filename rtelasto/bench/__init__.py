"""Measurements of a live run, with real processes on the real wire, and of the limits of the machine."""
