"""Runs over recordings: process, replay, report, simulate."""
