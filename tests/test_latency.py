"""Latencies of frames: percentiles, of all or of the newest, in bounded memory."""

from __future__ import annotations

import math

import pytest

from rtelasto.telemetry.latency import Latencies

MS = 1_000_000


def test_none_yet() -> None:
    summary = Latencies().summary()
    assert summary.count == 0
    assert math.isnan(summary.p50_ms)
    assert str(summary) == "none measured"


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_the_newest_are_told_and_the_oldest_forgotten(count: int) -> None:
    latencies = Latencies(capacity=8)
    for time_ms in range(1, count + 1):
        latencies.add(time_ms * MS)
    kept, newest = latencies.summary(), latencies.summary(newest=3)
    assert kept.count == newest.count == count
    assert kept.max_ms == newest.max_ms == count
    first_kept = max(1, count - 7)
    assert kept.p50_ms == pytest.approx((first_kept + count) / 2)
    assert newest.p50_ms == pytest.approx((max(1, count - 2) + count) / 2)
