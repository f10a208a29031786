"""The soak itself: a short one adds up, and what it is there to find it finds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soak import Soak, first_and_last, slope_per_h, soak, table
from rtelasto.bench.rig import Arrival
from rtelasto.frames.rf import RfFormat

pytestmark = pytest.mark.slow

FORMAT = RfFormat(
    n_lines=32, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
SECOND_NS = 1_000_000_000


def test_a_short_soak_accounts_for_every_frame() -> None:
    result = soak(10.0, engine="ncc", rf_format=FORMAT)
    assert result.frames_sent == 200
    assert not any(result.unaccounted.values()), result
    assert result.complaints() == []
    assert 0 < result.strain_frames < 200
    assert all(count > 0 for count in result.descriptors)
    assert f"200, {result.strain_frames}" in table(result)


def test_a_leak_shows_through_noise_and_a_step_does_not() -> None:
    times_ns = np.arange(7200) * SECOND_NS // 2
    noise = np.random.default_rng(0).normal(0.0, 0.2, times_ns.size)
    leak = 300.0 + 2.0 * times_ns / 3.6e12 + noise
    assert slope_per_h(times_ns, leak) == pytest.approx(2.0, abs=0.05)
    step = 300.0 + 5.0 * (np.arange(times_ns.size) > 6500) + noise
    assert slope_per_h(times_ns, step) < 1.0


def test_drift_is_the_last_twelfth_over_the_first() -> None:
    arrivals = [
        Arrival(k, k + 1, k * SECOND_NS, 0, k * SECOND_NS + latency_ms * 1_000_000, {})
        for k, latency_ms in enumerate([30] * 60 + [90] * 600 + [60] * 60)
    ]
    first, last = first_and_last(arrivals, 99.0)
    assert (first, last) == pytest.approx((30.0, 60.0))


def test_an_hour_is_judged_and_a_minute_is_not() -> None:
    def result(seconds: float) -> Soak:
        return Soak(
            seconds, 10, 9, {}, {"in the run": 0}, (300.0, 310.0), 10.0, (9, 9), (30.0, 30.0),
            (40.0, 50.0), 0.1,
        )  # fmt: skip

    assert result(60.0).complaints() == []
    assert len(result(3600.0).complaints()) == 2
