"""Simulated RF frames with exact displacement and strain truth."""
