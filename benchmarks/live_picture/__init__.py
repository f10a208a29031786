"""Compares the picture of a hand-held palpation at a subscriber of a live run with the truth."""
