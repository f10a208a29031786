"""Faults inflicted on a live run in real processes: what a user sees, how soon frames flow again, what was
counted."""
