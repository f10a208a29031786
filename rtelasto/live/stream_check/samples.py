"""What the samples of frames say on their own: no image, saturation, offset, copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.iq import ScannerFrame
from rtelasto.live.stream_check.finding import Finding
from rtelasto.pipeline.pipeline import image_fault

# Share of samples at the highest and lowest value: an echo has a handful, a clipped one many.
_SATURATED: Final = 0.005
# A range of fewer steps says nothing about clipping, and is itself too small for an echo.
_FEWEST_LEVELS: Final = 64
# Mean over the standard deviation of all samples.
_OFFSET: Final = 0.1
# Frames looked at for what all of them have.
_LOOKS: Final = 24


def judge_samples(frames: Sequence[ScannerFrame]) -> tuple[dict[str, str], list[Finding]]:
    """Return what samples say, as received, and what is wrong with them; values never raise.

    Parameters
    ----------
    frames
        Of one format, in the order of their arrival.
    """
    if not frames:
        return {}, []
    faults = [image_fault(_reals(frame.samples)) for frame in frames]
    found = _without_image(Counter(faults), len(frames)) + _copies(frames, faults)
    usable = [frame for frame, fault in zip(frames, faults, strict=True) if not fault]
    if not usable:
        return {}, found
    spread = np.unique(np.linspace(0, len(usable) - 1, _LOOKS).round().astype(int))
    measured = np.array([_measures(_reals(usable[k].samples)) for k in spread])
    at_limits, offset, levels = (float(value) for value in np.median(measured[:, :3], axis=0))
    low, high = measured[:, 3].min(), measured[:, 4].max()
    dtype = frames[0].samples.dtype
    facts = {
        "samples": f"{dtype} from {low:g} to {high:g}, {100 * at_limits:.2g} % at these limits, "
        f"offset {offset:+.2f} standard deviations"
    }
    if dtype.kind in "iu" and levels < _FEWEST_LEVELS:
        found.append(
            Finding(
                "weak signal",
                f"samples take fewer than {_FEWEST_LEVELS} steps ({levels:.0f})",
                "raise the receive gain, or do not scale samples down before int16",
            )
        )
    elif at_limits > _SATURATED:
        found.append(
            Finding(
                "saturation",
                f"{100 * at_limits:.1f} % of the samples stand at the limits, {low:g} and {high:g}",
                "lower the receive gain or the time gain compensation, or scale samples before int16: "
                "clipped echoes cannot be tracked",
            )
        )
    if abs(offset) > _OFFSET:
        found.append(
            Finding(
                "DC offset",
                f"the mean of the samples is {offset:+.2f} of their standard deviations",
                "subtract the receiver's offset before sending (unsigned samples need the middle of their "
                "range); rtelasto removes it per line, but it takes range from the echo",
            )
        )
    return facts, found


def _reals(samples: NDArray[np.generic]) -> NDArray[Any]:
    """Return samples as real numbers: of complex ones, both parts side by side."""
    if samples.dtype.kind != "c":
        return samples
    return np.ascontiguousarray(samples).view(samples.real.dtype)


def _measures(samples: NDArray[Any]) -> tuple[float, float, float, float, float]:
    """Return the share at the limits, the offset over the standard deviation, the steps, both limits."""
    finite = samples if samples.dtype.kind in "iu" else samples[np.isfinite(samples)]
    low, high = finite.min(), finite.max()
    n_at_limits = np.count_nonzero(finite == low) + np.count_nonzero(finite == high)
    values = finite.astype(np.float64)
    std = float(values.std())
    offset = float(values.mean()) / std if std > 0.0 else 0.0
    return n_at_limits / finite.size, offset, float(high) - float(low), float(low), float(high)


def _without_image(faults: Counter[str], n_frames: int) -> list[Finding]:
    found = []
    if n := faults["constant"]:
        found.append(
            Finding(
                "constant frames",
                f"{n} of {n_frames} frames hold one value in all samples (frame.constant)",
                "unfreeze the scanner; check the transmit voltage, the probe's connector, and that the "
                "buffer is filled before it is sent",
            )
        )
    if n := faults["nonfinite"]:
        found.append(
            Finding(
                "nonfinite frames",
                f"{n} of {n_frames} frames hold only NaN or infinities (frame.nonfinite)",
                "look for a division by zero or an unfilled buffer in the sender's processing",
            )
        )
    return found


def _copies(frames: Sequence[ScannerFrame], faults: Sequence[str]) -> list[Finding]:
    n = sum(
        _alike(old.samples, new.samples)
        for (old, new), fault in zip(pairwise(frames), faults[1:], strict=True)
        if not fault
    )
    if not n:
        return []
    return [
        Finding(
            "repeated samples",
            f"{n} of {len(frames)} frames have the samples of the frame before, under a new frame_id",
            "send each acquisition once and number acquisitions, not messages: a frame paired with its "
            "copy shows no strain",
        )
    ]


def _alike(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    middle = len(a) // 2
    nan = a.dtype.kind in "fc"
    # One line first: frames that differ do so in any line.
    return all(np.array_equal(x, y, equal_nan=nan) for x, y in ((a[middle], b[middle]), (a, b)))
