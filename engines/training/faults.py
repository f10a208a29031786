"""Faults that are applied to a pair of crops without a new simulation, with exact truth.

Noise, replaced scatterers, dead lines in one frame, saturation, an offset, a step of the gain, stationary
echoes, and depths without an echo. Where motion is not visible, the displacement has no truth (NaN) and the
residual strain is 0: an estimate should be uniform there, with a large standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto_engines.training.dataset import AXIAL_STRIDE, COUNTS_PER_RMS, Example

Float32Image = NDArray[np.float32]
_SAMPLES_PER_WAVELENGTH = 6.4


@dataclass(slots=True, eq=False)
class Crop:
    """A part of an example: frames (lines, samples) of RMS about 1, truth at every 4th sample."""

    pre: Float32Image
    post: Float32Image
    displacement: Float32Image
    strain: Float32Image
    lateral: Float32Image

    def mark_unseen(self, lines: slice, depths: slice) -> None:
        """Mark pixels in which motion is not visible."""
        gone = np.isfinite(self.strain[lines, depths])
        self.strain[lines, depths][gone] = 0.0
        self.displacement[lines, depths] = np.nan
        self.lateral[lines, depths] = np.nan


def crop(example: Example, lines: slice, first: int, samples: int) -> Crop:
    """Return a copy of some lines from sample ``first`` (a multiple of 4) on."""
    depths = slice(first // AXIAL_STRIDE, (first + samples) // AXIAL_STRIDE)
    frames = (
        frame[lines, first : first + samples].astype(np.float32) / np.float32(COUNTS_PER_RMS)
        for frame in (example.pre, example.post)
    )
    lateral = example.lateral
    if lateral is None:
        lateral = np.full_like(example.displacement, np.nan)
    truth = (
        image[lines, depths].copy() for image in (example.displacement, example.strain, lateral)
    )
    return Crop(*frames, *truth)


def noise(rng: np.random.Generator, c: Crop) -> None:
    """Add white noise, down to an echo SNR of 10 dB."""
    level = 10.0 ** (-rng.uniform(10.0, 40.0) / 20.0)
    for frame in (c.pre, c.post):
        frame += np.float32(level) * rng.standard_normal(frame.shape, dtype=np.float32)


def replaced(rng: np.random.Generator, c: Crop) -> None:
    """Replace up to 15 % of the scatterers in the second frame.

    A frame is a sum over scatterers, so the new ones are echoes of the same probe from another place.
    """
    share = rng.uniform(0.02, 0.15)
    other = np.roll(c.post[::-1], int(rng.integers(64, max(65, c.post.shape[1] - 64))), axis=1)
    c.post *= np.float32(math.sqrt(1.0 - share))
    c.post += np.float32(math.sqrt(share)) * other


def dead_lines(rng: np.random.Generator, c: Crop) -> None:
    """Replace some neighbouring lines of one frame by noise."""
    frame = c.pre if rng.random() < 0.5 else c.post
    n = int(rng.integers(1, 4))
    line = int(rng.integers(0, max(1, frame.shape[0] - n)))
    part = frame[line : line + n]
    part[:] = np.float32(0.05) * rng.standard_normal(part.shape, dtype=np.float32)


def saturated(rng: np.random.Generator, c: Crop) -> None:
    top = np.float32(rng.uniform(0.8, 2.5))
    for frame in (c.pre, c.post):
        np.clip(frame, -top, top, out=frame)


def offset(rng: np.random.Generator, c: Crop) -> None:
    for frame in (c.pre, c.post):
        frame += np.float32(rng.normal(0.0, 1.0))


def gain_step(rng: np.random.Generator, c: Crop) -> None:
    """Change the TGC between the frames, in one or two steps along depth."""
    for frame in (c.pre, c.post):
        for _ in range(int(rng.integers(1, 3))):
            at = int(rng.integers(0, frame.shape[1]))
            frame[:, at:] *= np.float32(10.0 ** (rng.uniform(-9.0, 9.0) / 20.0))


def still_clutter(rng: np.random.Generator, c: Crop) -> None:
    """Add stationary echoes, up to 6 dB above those of the tissue; above −3 dB, motion is not visible."""
    level_db = rng.uniform(-15.0, 6.0)
    n_samples = c.pre.shape[1]
    height = int(rng.integers(n_samples // 6, n_samples // 2))
    top = int(rng.integers(0, n_samples - height))
    move = int(rng.integers(-8, 9))
    other = np.roll(c.pre[::-1], int(rng.integers(100, n_samples - 100)), axis=1)
    window = np.zeros(n_samples, np.float32)
    window[top : top + height] = np.hanning(height) ** 0.25
    rms = float(np.sqrt(np.mean(np.square(other)))) + 1e-6
    echo = np.float32(10.0 ** (level_db / 20.0) / rms) * other * window
    c.pre += echo
    c.post += np.roll(echo, move, axis=1)
    if level_db > -3.0:
        c.mark_unseen(slice(None), slice(top // AXIAL_STRIDE, (top + height) // AXIAL_STRIDE))


def still_interface(rng: np.random.Generator, c: Crop) -> None:
    """Add a bright line that moves independently, by up to six samples relative to the tissue."""
    n_lines, n_samples = c.pre.shape
    depth = np.arange(n_lines) * rng.normal(0.0, 1.0) + rng.uniform(0.1, 0.9) * n_samples
    samples = np.arange(n_samples)
    size = (1.0 + 0.2 * rng.standard_normal(n_lines)) * rng.uniform(1.0, 6.0)
    length = rng.uniform(4.0, 9.0)
    move = rng.uniform(-6.0, 6.0)
    for frame, moved in ((c.pre, 0.0), (c.post, move)):
        t = samples[None, :] - np.reshape(depth + moved, (-1, 1))
        pulse = np.exp(-0.5 * (t / length) ** 2) * np.cos(2.0 * np.pi * t / _SAMPLES_PER_WAVELENGTH)
        frame += (np.reshape(size, (-1, 1)) * pulse).astype(np.float32)


def no_echo(rng: np.random.Generator, c: Crop) -> None:
    """Replace the echoes below some depth, or everywhere, by noise."""
    n_samples = c.pre.shape[1]
    top = 0 if rng.random() < 0.4 else int(rng.integers(n_samples // 8, 7 * n_samples // 8))
    level = np.float32(rng.uniform(0.1, 1.0))
    for frame in (c.pre, c.post):
        part = frame[:, top:]
        part[:] = level * rng.standard_normal(part.shape, dtype=np.float32)
    c.mark_unseen(slice(None), slice(top // AXIAL_STRIDE, None))


def lost_lines(rng: np.random.Generator, c: Crop) -> None:
    """Remove the partner of a strip at one side: tissue that moved out of the image."""
    n = int(rng.integers(1, 9))
    lines = slice(0, n) if rng.random() < 0.5 else slice(c.post.shape[0] - n, None)
    c.post[lines] = 0.0
    for truth in (c.displacement, c.strain, c.lateral):
        truth[lines] = np.nan


FAULTS: tuple[tuple[float, Callable[[np.random.Generator, Crop], None]], ...] = (
    (0.25, replaced),
    (0.10, still_interface),
    (0.08, still_clutter),
    (0.08, dead_lines),
    (0.08, gain_step),
    (0.06, no_echo),
    (0.06, saturated),
    (0.06, offset),
    (0.10, lost_lines),
    (0.40, noise),
)
"""Probability of each fault in training, in the order in which they are applied."""


def faulty(rng: np.random.Generator, c: Crop) -> Crop:
    """Return the crop with some faults and another polarity and gain, sometimes mirrored across the lines."""
    for share, fault in FAULTS:
        if rng.random() < share:
            fault(rng, c)
    gain = np.float32((1.0 if rng.random() < 0.5 else -1.0) * rng.uniform(0.7, 1.4))
    c.pre *= gain
    c.post *= gain
    if rng.random() < 0.5:
        c = Crop(
            *(
                np.ascontiguousarray(image[::-1])
                for image in (c.pre, c.post, c.displacement, c.strain, -c.lateral)
            )
        )
    return c
