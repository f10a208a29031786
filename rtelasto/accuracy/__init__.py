"""Accuracy of the engines on simulated tissue whose motion is known: ``rtelasto bench accuracy``."""
