"""Sockets: what receives, publishes and sends messages, and who may connect."""
