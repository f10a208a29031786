"""Damaged and hostile messages, as lists of parts, for the decoders."""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random
from typing import Any

import msgpack
from wire_vectors import VECTORS, vector

from fuzz.mutate import INTERESTING, damage

TOPICS = ("rf", "strain", "status")
Parts = list[bytes]


@functools.cache
def seeds(topic: str) -> tuple[Parts, ...]:
    """Return the test vectors of a topic."""
    vectors = [vector(path.name) for path in sorted(VECTORS.glob("*.hex"))]
    return tuple(parts for parts in vectors if parts[0] == topic.encode())


def message(topic: str, rng: Random) -> Parts:
    """Return a vector with damage to its bytes, its header's values or its parts."""
    return changed(rng.choice(seeds(topic)), rng)


def changed(sound: Parts, rng: Random) -> Parts:
    """Return a damaged message, or the same one if it has no usable header."""
    parts = list(sound)
    if len(parts) < 2:
        return [*parts, rng.randbytes(8)]
    if rng.random() < 0.75:
        parts[1] = _header(parts[1], rng)
        if rng.random() < 0.5:
            _fit_buffer(parts)
    if rng.random() < 0.3:
        at = rng.randrange(len(parts)) if rng.random() < 0.3 else 1
        parts[at] = damage(parts[at], rng)
    if rng.random() < 0.08:
        _parts(parts, rng)
    return parts


def _header(packed: bytes, rng: Random) -> bytes:
    try:
        fields: Any = msgpack.unpackb(packed)
    except (ValueError, TypeError):
        return packed
    if not isinstance(fields, dict) or not fields:
        return packed
    for _ in range(rng.randint(1, 4)):
        holder = fields
        while True:  # down into maps and lists, by chance
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = rng.choice(keys)
            if not (isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.7):
                break
            holder = holder[key]
        if not fields:
            break
        if not keys:
            holder = fields
            key = rng.choice(list(fields))
        how = rng.random()
        if how < 0.08:
            del holder[key]
        elif how < 0.12 and isinstance(holder, dict):
            holder[str(value(rng))[:80]] = value(rng)
        elif how < 0.3 and isinstance(holder[key], (int, float)) and holder[key] == holder[key]:
            scaled = holder[key] * rng.choice((-1, 0.5, 2, 1e3, 1e-3, 1e-9, 1e9))
            holder[key] = (
                int(scaled) % 2**63 if rng.random() < 0.5 and abs(scaled) < 1e300 else scaled
            )
        else:
            holder[key] = value(rng)
    try:
        return bytes(msgpack.packb(fields, use_single_float=rng.random() < 0.1))
    except (OverflowError, ValueError):
        return packed


def value(rng: Random, depth: int = 0) -> Any:
    """Return any value that msgpack supports, usually one near a limit."""
    makers: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice(INTERESTING),
        lambda: -rng.choice(INTERESTING[:-2]),
        lambda: rng.choice((0.0, -0.0, 1e-320, 1e308, -1e308, 1e9, 1e5, 300.0, 0.5, 1e-6)),
        lambda: rng.choice((float("nan"), float("inf"), float("-inf"))),
        lambda: rng.choice(
            ("", "x", "rf", "a\nb\x1b[2J", "ä" * 64, "x" * 65, "<i2", "<f4", "kept")
        ),
        lambda: rng.choice((None, True, False, b"", b"bytes", msgpack.ExtType(1, b""))),
        lambda: rng.choice((msgpack.Timestamp(5), msgpack.ExtType(5, bytes(12)))),
        lambda: rng.choice(("rf_lines", "iq", "channel", "focused", "quadrature", "|u1", "<c8")),
        lambda: [value(rng, depth + 1) for _ in range(rng.randint(0, 4))] if depth < 6 else [],
        lambda: {str(rng.randrange(9)): value(rng, depth + 1)} if depth < 6 else {},
        lambda: [rng.choice((1, 2, 3, 16, 200, 4096))] * rng.choice((2, 3)),
        lambda: [0] * rng.choice((1, 1024, 1025)),
    )
    return rng.choice(makers)()


def _fit_buffer(parts: Parts) -> None:
    """Give the samples the size in the header, so that later checks are also reached."""
    try:
        fields = msgpack.unpackb(parts[1])
        if fields["type"] != "rf":
            return
        size = {"<i2": 2, "<f4": 4, "<c8": 8}[fields["dtype"]]
        for length in fields["shape"]:
            size *= length if isinstance(length, int) else 0
        if 0 < size <= 1 << 16:
            parts[2] = (parts[2] * (size // max(len(parts[2]), 1) + 1))[:size]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return


def _parts(parts: Parts, rng: Random) -> None:
    how = rng.randrange(5)
    at = rng.randrange(len(parts))
    if how == 0:
        del parts[at]
    elif how == 1:
        parts.insert(at, rng.randbytes(rng.randint(0, 40)))
    elif how == 2:
        parts[at] = b""
    elif how == 3:
        parts.extend([b""] * rng.randint(1, 14))
    else:
        parts[1] = nested(rng.choice((5, 300, 5000)), rng)


def nested(depth: int, rng: Random) -> bytes:
    """Return a header of nested maps or lists."""
    return rng.choice((b"\x81\xa1a", b"\x91")) * depth + b"\xc0"


def flat(parts: Parts) -> bytes:
    """Join parts, each preceded by its length in 4 bytes, for files and for libFuzzer."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def apart(data: bytes) -> Parts:
    """Split the result of `flat` into parts; other bytes are split as far as possible."""
    parts, at = [], 0
    while at + 4 <= len(data) and len(parts) < 20:
        length = int.from_bytes(data[at : at + 4], "little")
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return parts
