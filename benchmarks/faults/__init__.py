"""Inflicts faults on a live run in real processes: effects, time until frames flow again, counters."""
