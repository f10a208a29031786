"""The hand-written messages of tests/vectors."""

from __future__ import annotations

from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors"


def vector(name: str) -> list[bytes]:
    """The parts of a hand-written message: hex, `#` starts a comment, `--` a part."""
    parts: list[bytes] = []
    for line in (VECTORS / name).read_text("utf-8").splitlines():
        if line.startswith("--"):
            parts.append(b"")
        elif code := line.split("#")[0]:
            parts[-1] += bytes.fromhex(code)
    return parts
