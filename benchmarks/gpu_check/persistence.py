"""Persistence where the images are, compared with persistence on the CPU over the same strain frames."""

from __future__ import annotations

import time
from itertools import cycle, islice

import numpy as np

from benchmarks.gpu_check.frames import PUBLISHED, pairs, relative
from benchmarks.gpu_check.parity import without_network
from benchmarks.gpu_check.report import Bound
from rtelasto.frames.rf import FramePair, RfFormat
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.persistence import Persistence

_PERIOD_S = 0.02


def persistence(rf_format: RfFormat = PUBLISHED, *, n_pairs: int = 100) -> list[Bound]:
    """Average presses and releases by 0.5 % on both devices; compare the images, and the times of a pair.

    The GPU has nothing else to do meanwhile; the time is that on the host, from call to images.
    """
    estimator = without_network(residual_samples=0.003)
    press, _ = pairs(rf_format, 0.005)
    averages = [Persistence(1.0, estimator.average), Persistence(1.0)]
    times_s: list[list[float]] = [[], []]
    worst = {"relative_strain": 0.0, "relative_strain_std": 0.0}
    for k, pair in enumerate(islice(cycle((press, FramePair(press.post, press.pre))), n_pairs)):
        strain = estimator(pair)
        shown: list[StrainFrame] = []
        for average, times in zip(averages, times_s, strict=True):
            started = time.perf_counter()
            shown.append(average(strain, pre_s=_PERIOD_S * k, post_s=_PERIOD_S * (k + 1)))
            times.append(time.perf_counter() - started)
        for name in worst:
            got, wanted = (getattr(frame, name) for frame in shown)
            known = np.isfinite(wanted)
            worst[name] = max(worst[name], relative(got[known], wanted[known]))
    on_gpu_ms, on_cpu_ms = (1e3 * float(np.median(times)) for times in times_s)
    state = shown[0].persistence
    return [
        *(Bound(f"{name}, relative RMS difference", worst[name], limit=1e-4) for name in worst),
        Bound("pairs in the average", state.frames if state else 0, limit=10, at_least=True),
        Bound("time of a pair", on_gpu_ms, "ms", limit=0.5),
        Bound("time of a pair on the CPU", on_cpu_ms, "ms"),
    ]
