"""Pairs of speckle frames with exactly known motion, for tests of motion estimation.

Point scatterers drawn at random positions, each evaluated analytically as a Gaussian-modulated cosine
with a Gaussian lateral profile. In the post-compression frame every scatterer is at its moved position, so
nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation
from rtelasto.host.compiled import kernel

SMALL_FORMAT = RfFormat(
    n_lines=32, n_samples=900, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
)

# (lateral_m, depth_m) -> extra axial displacement in m, on top of the elongation
LocalDisplacement = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

PUBLISHED_FORMAT = RfFormat(
    n_lines=128,
    n_samples=2608,
    sampling_freq_hz=40e6,
    center_freq_hz=6.25e6,
    line_pitch_m=0.3e-3,
)


@kernel(fastmath=True)
def _draw(line, sample, amplitude, cycles, axial_sigma, lateral_sigma, image):  # type: ignore[no-untyped-def]
    """Add scatterers at fractional (line, sample) positions to the image."""
    n_lines, n_samples = image.shape
    half_axial, half_lateral = 4.0 * axial_sigma, 3.5 * lateral_sigma
    pulse = np.empty(int(2 * half_axial) + 3, np.float32)
    for k in range(line.size):
        first = max(int(np.ceil(sample[k] - half_axial)), 0)
        last = min(int(np.floor(sample[k] + half_axial)), n_samples - 1)
        if last < first:
            continue
        for j in range(first, last + 1):
            t = j - sample[k]
            pulse[j - first] = np.exp(-0.5 * (t / axial_sigma) ** 2) * np.cos(
                2.0 * np.pi * cycles * t
            )
        for i in range(
            max(int(np.ceil(line[k] - half_lateral)), 0),
            min(int(np.floor(line[k] + half_lateral)), n_lines - 1) + 1,
        ):
            weight = amplitude[k] * np.exp(-0.5 * ((i - line[k]) / lateral_sigma) ** 2)
            target = image[i, first : last + 1]
            for j in range(target.size):
                target[j] += np.float32(weight) * pulse[j]


def speckle_pair(
    rng: np.random.Generator,
    *,
    rf_format: RfFormat = PUBLISHED_FORMAT,
    elongation: Elongation | None = None,
    local_displacement_m: LocalDisplacement | None = None,
    snr_db: float | None = None,
    decorrelation: float = 0.0,
    density: float = 4.0,
    bandwidth: float = 0.6,
    lateral_sigma_lines: float = 1.2,
    full_scale_sigmas: float = 8.0,
    dtype: str = "int16",
) -> FramePair:
    """A pre- and a post-compression frame of the same scatterers.

    Parameters
    ----------
    rng
        Random generator.
    rf_format
        Size and sampling of both frames.
    elongation
        Global motion: a scatterer at (x, z) moves to (x + v, z + u).
    local_displacement_m
        Additional axial displacement as a function of (lateral_m, depth_m) before compression.
    snr_db
        Power of the echo relative to that of the white noise added to each frame; no noise if None.
    decorrelation
        0: the same scatterers; 1: unrelated ones. The echoes correlate by 1 - decorrelation.
    density
        Scatterers per resolution cell (full width at half maximum squared).
    bandwidth
        Width of the pulse's spectrum at -6 dB over the centre frequency.
    lateral_sigma_lines
        Standard deviation of the lateral profile, in lines.
    full_scale_sigmas
        Full scale of an integer dtype in standard deviations of the echo; small values saturate.
    dtype
        Of the samples: "int16", "float32" ...
    """
    motion = elongation or Elongation()
    step = rf_format.axial_step_m
    pitch = rf_format.line_pitch_m
    cycles = rf_format.center_freq_hz / rf_format.sampling_freq_hz
    # A Gaussian of standard deviation s in time has a spectrum of 2.355 / (√2 π s)… at half amplitude:
    # exp(-2 (π s f)²) = 1/2 at f = √(ln 2 / 2) / (π s).
    axial_sigma = 2.0 * np.sqrt(0.5 * np.log(2.0)) / (np.pi * bandwidth * cycles)
    margin_axial = 300 + int(4 * axial_sigma)
    margin_lateral = 12
    n_lines, n_samples = rf_format.n_lines, rf_format.n_samples
    width, height = n_lines + 2 * margin_lateral, n_samples + 2 * margin_axial
    cell = (2.355 * axial_sigma) * (2.355 * lateral_sigma_lines)
    n_scatterers = int(density * width * height / cell)
    line = rng.uniform(-margin_lateral, n_lines + margin_lateral, n_scatterers)
    sample = rng.uniform(-margin_axial, n_samples + margin_axial, n_scatterers)
    amplitude = rng.standard_normal(n_scatterers)
    x = (line - 0.5 * (n_lines - 1)) * pitch
    z = rf_format.start_depth_m + sample * step
    u = motion.axial_displacement_m(x, z)
    if local_displacement_m is not None:
        u = u + local_displacement_m(x, z)
    kept = 1.0 - decorrelation
    moved = kept * amplitude + np.sqrt(1.0 - kept**2) * rng.standard_normal(n_scatterers)
    frames = []
    for frame_id, (lines, samples, amplitudes) in enumerate(
        (
            (line, sample, amplitude),
            (line + motion.lateral_displacement_m(x, z) / pitch, sample + u / step, moved),
        )
    ):
        image = np.zeros((n_lines, n_samples), np.float32)
        _draw(lines, samples, amplitudes, cycles, axial_sigma, lateral_sigma_lines, image)
        image /= np.sqrt(np.mean(np.square(image, dtype=np.float64)))
        if snr_db is not None:
            noise = rng.standard_normal(image.shape, dtype=np.float32)
            image += np.float32(10.0 ** (-snr_db / 20.0)) * noise
        frames.append(
            RfFrame(_digitise(image, full_scale_sigmas, dtype), rf_format, FrameStamp(frame_id))
        )
    return FramePair(*frames)


def small_press() -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Samples of two frames of `SMALL_FORMAT`, before and after a uniform press by 0.5 %; SNR 30 dB."""
    pair = speckle_pair(
        np.random.default_rng(3),
        rf_format=SMALL_FORMAT,
        elongation=Elongation(0.0, 0.0, -0.005),
        snr_db=30.0,
        dtype="float32",
    )
    return pair.pre.samples, pair.post.samples


def _digitise(image: NDArray[np.float32], sigmas: float, dtype: str) -> NDArray[np.generic]:
    if np.dtype(dtype).kind == "f":
        return image.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(image * (limits.max / sigmas)), limits.min, limits.max).astype(dtype)
