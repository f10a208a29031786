"""Messages that violate the wire format, each in one way, derived from a valid message."""

from __future__ import annotations

from collections.abc import Callable

import msgpack

from rtelasto.wire.message import Part

Damage = Callable[[list[Part]], list[Part]]


def _with(parts: list[Part], **changes: object) -> list[Part]:
    header = msgpack.unpackb(parts[1]) | changes
    return [parts[0], msgpack.packb(header), *parts[2:]]


def _deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


# By the cause under which a receiver counts them; ``topic`` needs a topic that begins like a valid one.
MALFORMED: dict[str, tuple[Damage, ...]] = {
    "parts": (lambda parts: [*parts, b"one too many"],),
    "topic": (lambda parts: [b"rf?", *parts[1:]],),
    "header": (
        lambda parts: [parts[0], b"\xc1" * 40, parts[2]],
        lambda parts: [parts[0], bytes(parts[1])[:-3], parts[2]],
        lambda parts: [parts[0], bytes(20_000), parts[2]],
        lambda parts: _with(parts, extra=_deep(40)),
        lambda parts: _with(parts, seq=-1),
        lambda parts: _with(parts, stream="x" * 65),
    ),
    "schema": (lambda parts: _with(parts, schema="rtelasto/2"),),
    "type": (lambda parts: _with(parts, type="strain"),),
    "kind": (lambda parts: _with(parts, kind="doppler"),),
    "dtype": (lambda parts: _with(parts, dtype="|O"),),
    "shape": (lambda parts: _with(parts, shape=[10**9, 10**9]),),
    "size": (lambda parts: [*parts[:2], bytes(parts[2])[:-2]],),
    "format": (lambda parts: _with(parts, sampling_freq_hz=float("nan")),),
}
