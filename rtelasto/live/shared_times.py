"""Histograms of a run's stage times in memory that outlives the process that fills them."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Mapping

from rtelasto.telemetry.prometheus import BUCKETS_S, StageTimes, bucket_of

# More stages than any pipeline has.
_STAGES = 32
_NAME_BYTES = 32
_BUCKETS = len(BUCKETS_S) + 1


class SharedStageTimes:
    """The histograms; pass the object to a process of the spawn context as an argument.

    One process adds at a time; others may read. A process that is killed while it adds leaves at most
    one time partly counted.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._counts = context.RawArray(ctypes.c_int64, _STAGES * _BUCKETS)
        self._sums_s = context.RawArray(ctypes.c_double, _STAGES)
        self._names = context.RawArray(ctypes.c_char, _STAGES * _NAME_BYTES)
        self._used = context.RawValue(ctypes.c_int64)

    def add(self, stage_ns: Mapping[str, int]) -> None:
        """Add one frame's times, by stage."""
        places = {name: place for place, name in enumerate(self._stages())}
        for stage, time_ns in stage_ns.items():
            place = places.get(stage)
            if place is None:
                place = places[stage] = self._new_stage(stage)
            self._counts[place * _BUCKETS + bucket_of(time_ns / 1e9)] += 1
            self._sums_s[place] += time_ns / 1e9

    def read(self) -> dict[str, StageTimes]:
        """The histograms so far, by stage."""
        return {
            name: StageTimes(
                tuple(self._counts[place * _BUCKETS : (place + 1) * _BUCKETS]), self._sums_s[place]
            )
            for place, name in enumerate(self._stages())
        }

    def _stages(self) -> list[str]:
        names = bytes(memoryview(self._names).cast("B"))
        return [
            names[place * _NAME_BYTES : (place + 1) * _NAME_BYTES].rstrip(b"\0").decode()
            for place in range(self._used.value)
        ]

    def _new_stage(self, stage: str) -> int:
        place, encoded = self._used.value, stage.encode()
        if place == _STAGES or len(encoded) > _NAME_BYTES:
            raise ValueError(f"no room for a stage {stage!r} beside {place} others")
        start = place * _NAME_BYTES
        memoryview(self._names).cast("B")[start : start + len(encoded)] = encoded
        self._used.value = place + 1
        return place
