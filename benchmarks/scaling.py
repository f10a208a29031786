"""Measures whether the time of a pair is linear in its number of pixels.

    python -m benchmarks.scaling [--engine cnn] [--pairs 15]

The sizes (samples × lines) are from 1024 × 64 to 8192 × 256, 32-fold in pixels. The time is that of
``rtelasto bench``: all stages of a pair without the wire. For linear cost, ns per pixel are the same in all
rows; the exponent is the slope of log time over log pixels, 1 for linear cost.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np

from rtelasto.bench.stages import time_stages
from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT

SIZES = ((1024, 64), (2048, 64), (2608, 128), (4096, 128), (4096, 256), (8192, 256))


def measure_scaling(engine: str, pairs: int) -> dict[tuple[int, int], float]:
    """Return the p50 of a pair in ms by (samples, lines)."""
    times = {}
    for n_samples, n_lines in SIZES:
        rf_format = dataclasses.replace(PUBLISHED_FORMAT, n_samples=n_samples, n_lines=n_lines)
        stages = time_stages(engine, pairs=pairs, rf_format=rf_format)
        times[n_samples, n_lines] = stages["total"].p50_ms
    return times


def exponent(times_ms: dict[tuple[int, int], float]) -> float:
    """Return b of time ∝ pixelsᵇ, by least squares."""
    pixels = np.log([n_samples * n_lines for n_samples, n_lines in times_ms])
    return float(np.polyfit(pixels, np.log(list(times_ms.values())), 1)[0])


def table(times_ms: dict[tuple[int, int], float]) -> str:
    lines = ["| samples × lines | p50 ms | ns per pixel |", "| --- | ---: | ---: |"]
    for (n_samples, n_lines), time_ms in times_ms.items():
        per_pixel = 1e6 * time_ms / (n_samples * n_lines)
        lines.append(f"| {n_samples} × {n_lines} | {time_ms:.1f} | {per_pixel:.1f} |")
    return "\n".join(lines) + f"\n\nTime ∝ pixels^{exponent(times_ms):.2f}."


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost against frame size.")
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    print(table(measure_scaling(options.engine, options.pairs)))


if __name__ == "__main__":
    main()
