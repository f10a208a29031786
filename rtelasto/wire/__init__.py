"""The wire format: messages to and from bytes (docs/wire.md)."""
