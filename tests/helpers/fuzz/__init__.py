"""Fuzzing: messages and files that nobody should send, and what must hold of them (docs/fuzzing.md)."""
