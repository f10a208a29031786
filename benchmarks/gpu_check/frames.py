"""Frames for the checks: speckle that is pressed, made with NumPy alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp

PUBLISHED = RfFormat(
    n_lines=128, n_samples=2608, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
FORMATS = (
    PUBLISHED,
    RfFormat(
        n_lines=192,
        n_samples=1664,
        sampling_freq_hz=31.25e6,
        center_freq_hz=7.8125e6,
        line_pitch_m=2e-4,
    ),  # L12-5 at 4 samples per wavelength
    RfFormat(
        n_lines=33, n_samples=1001, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
    ),  # odd sizes
)
STRAINS = (0.0005, 0.005, 0.03)
# A strain, and the lines by which tissue moves aside over the depth as the probe turns.
MOTIONS = (*((strain, 0.0) for strain in STRAINS), (0.005, 2.0))
_OVERSAMPLING = 16


def frames(
    rf_format: RfFormat,
    strain: float,
    *,
    turn_lines: float = 0.0,
    n_frames: int = 3,
    dtype: str = "int16",
) -> list[RfFrame]:
    """Return frames of speckle, each pressed by ``strain`` from the one before; the same every time.

    Each also moves aside by up to ``turn_lines`` at the last sample; what leaves at one side enters at the
    other.
    """
    rng = np.random.default_rng(7)
    n_lines, n_samples = rf_format.n_lines, rf_format.n_samples
    # Room below the image for what the press moves into it.
    n_deep = int(n_samples * (1.0 + 1.1 * strain * n_frames)) + 64
    noise = np.fft.fft2(rng.standard_normal((n_lines, n_deep)))
    cycles = np.fft.fftfreq(n_deep)
    centre = rf_format.center_freq_hz / rf_format.sampling_freq_hz
    pulse = np.exp(-0.5 * ((np.abs(cycles) - centre) / (0.2 * centre)) ** 2)
    beam = np.exp(-0.5 * (np.fft.fftfreq(n_lines)[:, None] / 0.2) ** 2)
    spectrum = (noise * pulse * beam)[:, : n_deep // 2]
    # Analytic and finely sampled, so that linear interpolation between samples is exact enough.
    padded = np.zeros((n_lines, _OVERSAMPLING * n_deep), np.complex64)
    padded[:, : n_deep // 2] = spectrum
    fine = np.fft.ifft(padded, axis=1).real.astype(np.float32)
    fine *= np.float32(1000.0 / np.sqrt(np.mean(np.square(fine))))
    depth = np.arange(n_samples)
    made = []
    for k in range(n_frames):
        place = _OVERSAMPLING * depth * (1.0 + strain * k)
        left = place.astype(np.int64)
        share = (place - left).astype(np.float32)
        image = fine[:, left] * (1.0 - share) + fine[:, left + 1] * share
        if turn_lines:
            aside = turn_lines * k * depth / n_samples
            turns = np.exp(-2j * np.pi * np.fft.fftfreq(n_lines)[:, None] * aside)
            image = np.fft.ifft(np.fft.fft(image, axis=0) * turns, axis=0).real
        samples = np.rint(np.clip(image, -32768, 32767)).astype(np.int16)
        made.append(RfFrame(samples.astype(dtype), rf_format, FrameStamp(k)))
    return made


def pairs(
    rf_format: RfFormat, strain: float, *, turn_lines: float = 0.0, dtype: str = "int16"
) -> Iterator[FramePair]:
    """Yield two pairs of speckle frames that share a frame."""
    every = frames(rf_format, strain, turn_lines=turn_lines, dtype=dtype)
    yield from (FramePair(pre, post) for pre, post in itertools.pairwise(every))


def relative(got: np.ndarray, wanted: np.ndarray) -> float:
    """Return the RMS of the difference over the RMS of the reference."""
    difference = np.asarray(got, np.float64) - wanted
    return float(np.sqrt(np.mean(difference**2) / np.mean(np.square(wanted, dtype=np.float64))))
