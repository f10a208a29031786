"""The protocols of the GPU back-end."""

from __future__ import annotations

from typing import Protocol


class Launch(Protocol):
    """Launches a kernel by name over a grid of blocks, on the buffers of one pair in flight.

    On a GPU it enqueues on the current stream and returns; ``step`` is the argument of the kernel in addition
    to the buffers.
    """

    def __call__(
        self, name: str, grid: tuple[int, ...], step: int = 0, *, threads: int
    ) -> None: ...
