"""Damage to bytes, both accidental and deliberate."""

from __future__ import annotations

from random import Random

INTERESTING = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    31,
    32,
    64,
    127,
    128,
    255,
    256,
    1024,
    4096,
    32767,
    32768,
    65535,
)
INTERESTING += (
    65536,
    2**20,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
)


def damage(data: bytes, rng: Random, *, within: int | None = None, at_most: int = 8) -> bytes:
    """Return a copy with a few bytes flipped, overwritten, inserted, removed or repeated, or truncated.

    ``within`` limits most of the damage to this many bytes at the start, where headers are.
    """
    buffer = bytearray(data)
    for _ in range(rng.randint(1, at_most)):
        if not buffer:
            break
        end = len(buffer) if within is None or rng.random() < 0.2 else min(within, len(buffer))
        at = rng.randrange(end)
        how = rng.random()
        if how < 0.4:
            buffer[at] ^= 1 << rng.randrange(8)
        elif how < 0.6:
            buffer[at] = rng.randrange(256)
        elif how < 0.8:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(INTERESTING) % (1 << (8 * size))
            order = rng.choice(("little", "big"))
            buffer[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
        elif how < 0.87:
            buffer[at:at] = rng.randbytes(rng.randint(1, 16))
        elif how < 0.94:
            del buffer[at : at + rng.randint(1, 16)]
        elif how < 0.97:
            piece = buffer[at : at + rng.randint(1, 64)]
            to = rng.randrange(len(buffer))
            buffer[to : to + len(piece)] = piece
        else:
            del buffer[at:]
    return bytes(buffer)
