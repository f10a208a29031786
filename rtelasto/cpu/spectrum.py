"""Estimates the centre frequency of an echo from its spectrum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

LARGEST_CENTRE_ERROR = 0.15
"""Relative difference of the echo's and the given centre frequency that is normal."""
_BAND_DB = 10.0
# Standard deviation of the spectrum over the Nyquist frequency: 0.29 for white noise, at most 0.1 for echoes
# of 100 % bandwidth that are sampled four times a period.
_WIDEST = 0.2


def estimate_center_freq_hz(
    frames: Iterable[NDArray[np.generic]], *, sampling_freq_hz: float
) -> float | None:
    """Power-weighted centroid of the echo spectrum, over the band within 10 dB of its peak.

    The power spectra of all lines (mean removed, Hann window) are averaged, and the median over
    frequency is subtracted as the noise floor. The band limit excludes the remaining noise, which would
    pull the centroid towards fs/4.

    Parameters
    ----------
    frames
        RF frames (n_lines, n_samples) of one shape and any real dtype. Lines with a non-finite
        sample and lines without echo are ignored.
    sampling_freq_hz
        Axial sampling rate in Hz.

    Returns
    -------
    float or None
        The centroid in Hz, or None if no line holds an echo, but silence or white noise.
    """
    power: NDArray[np.float64] | None = None
    n_samples = 0
    for frame in frames:
        lines = np.asarray(frame, dtype=np.float64)
        lines = lines[np.isfinite(lines).all(axis=1)]
        if lines.shape[0] == 0 or lines.shape[1] < 8:
            continue
        lines = lines - lines.mean(axis=1, keepdims=True)
        n_samples = lines.shape[1]
        spectrum = np.fft.rfft(lines * np.hanning(n_samples), axis=1)
        summed = (np.abs(spectrum) ** 2).sum(axis=0)
        power = summed if power is None else power + summed
    if power is None:
        return None
    power[0] = 0.0
    power = np.maximum(power - np.median(power), 0.0)
    peak = power.max()
    if not (np.isfinite(peak) and peak > 0.0):
        return None
    power[power < peak * 10.0 ** (-_BAND_DB / 10.0)] = 0.0
    frequency_hz = np.fft.rfftfreq(n_samples, 1.0 / sampling_freq_hz)
    centre_hz = float((frequency_hz * power).sum() / power.sum())
    variance = float((np.square(frequency_hz - centre_hz) * power).sum() / power.sum())
    return centre_hz if variance < (_WIDEST * 0.5 * sampling_freq_hz) ** 2 else None


def shallow_center_freq_hz(
    frames: Sequence[NDArray[np.generic]], *, sampling_freq_hz: float
) -> float | None:
    """Return the centre frequency of the first quarter of the depth that contains an echo.

    Attenuation lowers the frequency with depth by 20 % and more: only the shallow echo shows whether the
    centre frequency of a format is wrong. Parameters and result as for `estimate_center_freq_hz`.
    """
    quarter = max(1, frames[0].shape[1] // 4)
    centres_hz = (
        estimate_center_freq_hz(
            [frame[:, first : first + quarter] for frame in frames],
            sampling_freq_hz=sampling_freq_hz,
        )
        for first in range(0, frames[0].shape[1], quarter)
    )
    return next((centre_hz for centre_hz in centres_hz if centre_hz is not None), None)
