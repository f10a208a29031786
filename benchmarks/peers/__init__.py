"""What else turns two RF frames into strain, timed on the same frames: one process each.

A peer is a module with ``PEERS``: names, what each is, and a function that gets ready and returns what is
to be timed: from the two int16 frames in memory to axial strain in memory. Work on part of a frame returns
the seconds that the whole would have taken, as a float. Everything a user would do once
(loading weights, compiling, building a network) happens in getting ready.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Work = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to strain: what it is, its ``prepare(pre, post, threads)``, and the packages it needs."""

    about: str
    prepare: Callable[[NDArray[Any], NDArray[Any], int], Work]
    needs: tuple[str, ...] = ()
