"""Counters and position of a run in memory that outlives the process that updates them.

One process writes at a time; others may read. The state stays consistent even if the writer is killed at
any point: a single counter is one aligned store, and values that belong together are written to a second
copy of all of them, which one such store makes the valid one.
"""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np

from rtelasto.frames.strain import StrainFrame
from rtelasto.live.shared_times import SharedStageTimes
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.sequence import Position

_SLOTS = 256
_NAME_BYTES = 64
# After the counters of each copy: stream (a digest; 0 for none), seq, frame id.
_STREAM, _SEQ, _FRAME_ID = _SLOTS, _SLOTS + 1, _SLOTS + 2
_COPY = _SLOTS + 3
# Before the copies: the index of the valid one, and the number of counters.
_HOLDS, _USED, _HEAD = 0, 1, 2


class SharedState:
    """The shared memory; pass it to a process of the spawn context as an argument."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._numbers = context.RawArray(ctypes.c_int64, _HEAD + 2 * _COPY)
        self._names = context.RawArray(ctypes.c_char, _SLOTS * _NAME_BYTES)
        self._pulse = context.RawValue(Pulse)
        self._pulse.forget_pair()
        self.stage_times = SharedStageTimes()

    def open(self) -> tuple[SharedCounters, Position, Pulse]:
        """This process's view of the counters, the position in the sender's stream and the pulse."""
        slots = _Slots(
            memoryview(self._numbers).cast("B").cast("q"), memoryview(self._names).cast("B")
        )
        return SharedCounters(slots), _SharedPosition(slots), self._pulse


class Pulse(ctypes.Structure):
    """The heartbeat of a run's main loop, and figures of its newest frame.

    ``rounds`` counts heartbeats; ``loading`` is 1 while the next step may take minutes, because
    something is read, compiled or built. ``applied_strain``, ``quality`` and ``poor_share`` are of the newest
    strain frame, NaN before the first; ``begun_ns`` is when that frame began to age, on the monotonic clock,
    0 before the first; ``queued`` frames wait for the pipeline. The rest describes the averaged picture, as
    `rtelasto.frames.strain.PersistenceState` does, and its median standard deviation.
    """

    _fields_ = (
        ("rounds", ctypes.c_int64),
        ("loading", ctypes.c_int64),
        ("applied_strain", ctypes.c_double),
        ("quality", ctypes.c_double),
        ("poor_share", ctypes.c_double),
        ("begun_ns", ctypes.c_int64),
        ("queued", ctypes.c_int64),
        ("persistence_frames", ctypes.c_int64),
        ("persistence_presses", ctypes.c_int64),
        ("persistence_age_s", ctypes.c_double),
        ("relative_strain_std", ctypes.c_double),
    )

    def heartbeat(self, *, loading: bool, queued: int = 0) -> None:
        """Record an iteration of the loop."""
        self.loading = int(loading)
        self.queued = queued
        self.rounds += 1

    def forget_pair(self) -> None:
        """Clear the newest pair: there is none yet, or its process has exited."""
        self.applied_strain = self.quality = self.poor_share = math.nan
        self.persistence_age_s = self.relative_strain_std = math.nan
        self.queued = self.persistence_frames = self.persistence_presses = 0

    def show(self, strain: StrainFrame) -> None:
        """Record the newest published strain frame."""
        self.applied_strain, self.quality = strain.applied_strain, strain.quality
        self.poor_share = strain.poor_share
        age_ns = strain.stage_ns.get("total", 0) if strain.age_ns is None else strain.age_ns
        self.begun_ns = time.monotonic_ns() - age_ns
        if strain.persistence is not None:
            self.persistence_frames = strain.persistence.frames
            self.persistence_presses = strain.persistence.presses
            self.persistence_age_s = strain.persistence.age_s
        if strain.relative_strain_std is not None:
            # A subset of the pixels is enough for a gauge.
            known = strain.relative_strain_std[::4, ::8]
            known = known[np.isfinite(known)]
            self.relative_strain_std = float(np.median(known)) if known.size else math.nan

    def gauges(self) -> dict[str, float]:
        """The gauges that `MetricsServer` shows."""
        age_s = (time.monotonic_ns() - self.begun_ns) / 1e9 if self.begun_ns else math.nan
        return {
            "quality": self.quality,
            "poor_share": self.poor_share,
            "applied_strain": self.applied_strain,
            "newest_frame_age_seconds": age_s,
            "queue_frames": self.queued,
            "persistence_frames": self.persistence_frames,
            "persistence_presses": self.persistence_presses,
            "persistence_age_seconds": self.persistence_age_s,
            "relative_strain_std": self.relative_strain_std,
        }


class SharedCounters(Counters):
    """`Counters` that a later process continues.

    Raises
    ------
    ValueError
        On the first use of a name that is too long, or for which there is no slot left.
    """

    def __init__(self, slots: _Slots) -> None:
        super().__init__()
        self._values = self._slots = slots

    @contextmanager
    def together(self) -> Iterator[None]:
        """As `Counters.together`; a `Position` in the same memory may be moved in the block too."""
        with self._changed:
            self._slots.begin()
            try:
                yield
            finally:
                self._slots.commit()


class _Slots(MutableMapping[str, int]):
    """Numbers by name. Only one thread at a time may write, which `Counters` ensures."""

    def __init__(self, numbers: memoryview, names: memoryview) -> None:
        self._numbers, self._names = numbers, names
        self._index: dict[str, int] = {}
        # Start of the copy that is being written; None outside a block.
        self._written: int | None = None

    def begin(self) -> None:
        """Write to the other copy from now on."""
        held = self._copy()
        other = _HEAD + _COPY if held == _HEAD else _HEAD
        self._numbers[other : other + _COPY] = self._numbers[held : held + _COPY]
        self._written = other

    def commit(self) -> None:
        """Make the written copy the valid one, by a single store."""
        self._numbers[_HOLDS] = int(self._written != _HEAD)
        self._written = None

    def at(self, place: int) -> int:
        """Read a number by its place in the copy."""
        return self._numbers[self._copy() + place]

    def put(self, place: int, value: int) -> None:
        """Write a number by its place in the copy."""
        self._numbers[self._copy() + place] = value

    def __getitem__(self, name: str) -> int:
        self._learn()
        return self.at(self._index[name])

    def __setitem__(self, name: str, value: int) -> None:
        self._learn()
        place = self._index.get(name)
        self.put(self._add(name) if place is None else place, value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"counters cannot be deleted: {name}")

    def __iter__(self) -> Iterator[str]:
        self._learn()
        return iter(tuple(self._index))

    def __len__(self) -> int:
        self._learn()
        return len(self._index)

    def _copy(self) -> int:
        """Start of the copy that is being written, else of the valid one."""
        return _HEAD + _COPY * self._numbers[_HOLDS] if self._written is None else self._written

    def _learn(self) -> None:
        """Read names that another process has added."""
        for place in range(len(self._index), self._numbers[_USED]):
            name = bytes(self._names[place * _NAME_BYTES : (place + 1) * _NAME_BYTES])
            self._index[name.rstrip(b"\0").decode()] = place

    def _add(self, name: str) -> int:
        place, encoded = len(self._index), name.encode()
        if place == _SLOTS or len(encoded) > _NAME_BYTES:
            raise ValueError(f"no room for a counter {name!r} beside {place} others")
        start = place * _NAME_BYTES
        self._names[start : start + len(encoded)] = encoded
        self._numbers[_USED] = place + 1
        self._index[name] = place
        return place


class _SharedPosition(Position):
    """A position that is updated in one step with the counters around it."""

    def __init__(self, slots: _Slots) -> None:
        super().__init__()
        self._slots = slots
        self._name: str | None = None
        self._digest = 0

    @property
    def begun(self) -> bool:
        return self._slots.at(_STREAM) != 0

    @property
    def seq(self) -> int:
        return self._slots.at(_SEQ) if self.begun else -1

    @property
    def frame_id(self) -> int:
        return self._slots.at(_FRAME_ID) if self.begun else -1

    def is_in(self, stream: str) -> bool:
        return self._slots.at(_STREAM) == self._digest_of(stream)

    def move(self, stream: str, seq: int, frame_id: int) -> None:
        self._slots.put(_STREAM, self._digest_of(stream))
        self._slots.put(_SEQ, seq)
        self._slots.put(_FRAME_ID, frame_id)

    def _digest_of(self, stream: str) -> int:
        """A 63-bit digest that is never 0."""
        if stream != self._name:
            self._name = stream
            digest = blake2b(stream.encode(), digest_size=8).digest()
            self._digest = int.from_bytes(digest, "little") >> 1 or 1
        return self._digest
