"""Times other methods that compute strain from two RF frames, on the same frames, one process each.

A module of peers has ``PEERS``: names, descriptions, and functions that prepare and return the function to be
timed, from the two int16 frames in memory to axial strain in memory. A peer that processes only part of the
frame returns the seconds for the whole frame as a float. Everything that a user does once (loading weights,
compiling, building a network) is part of the preparation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Work = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A method: its description, its ``prepare(pre, post, threads)``, and the packages it needs."""

    about: str
    prepare: Callable[[NDArray[Any], NDArray[Any], int], Work]
    needs: tuple[str, ...] = ()
