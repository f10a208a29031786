"""Fuzzing: malformed and hostile messages and files, and the properties that must hold (docs/fuzzing.md)."""
