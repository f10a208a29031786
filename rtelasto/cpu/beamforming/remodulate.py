"""IQ pixels back to RF lines: interpolation of the baseband and modulation onto its carrier."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.interpolation import interpolation_table
from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.resample import FASTMATH, finite
from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import IqFormat
from rtelasto.frames.rf import MAX_SAMPLES, Float32Image, RfFormat, check_shape
from rtelasto.host.compiled import kernel

N_TAPS = 16
N_PHASES = 512
PASS_EDGE = 0.42  # cycles per pixel, on either side of the demodulation frequency


class Remodulator:
    """Turns IQ pixels of one format into RF lines on the same columns and depths.

    RF(z) = Re(b(z) exp(i 2π f (2z/c))) with the baseband b at the demodulation frequency f; depths
    count from the transducer face, so that the carrier's phase is the same in every frame.

    Parameters
    ----------
    iq_format
        What the IQ pixels are.
    samples_per_wavelength
        Of the RF lines.

    Attributes
    ----------
    format : RfFormat
        What the RF lines are.
    """

    def __init__(self, iq_format: IqFormat, samples_per_wavelength: float = 4.0) -> None:
        self.iq_format = iq_format
        sampling_freq_hz = samples_per_wavelength * iq_format.center_freq_hz
        self._ratio = iq_format.sampling_freq_hz / sampling_freq_hz
        n_samples = 1 + math.floor((iq_format.n_samples - 1) / self._ratio + 1e-6)
        if n_samples > MAX_SAMPLES:
            raise RtelastoError(
                f"{iq_format.n_samples} IQ pixels make {n_samples} RF samples, at most "
                f"{MAX_SAMPLES} are possible: send a shallower image"
            )
        self.format = RfFormat(
            n_lines=iq_format.n_lines,
            n_samples=n_samples,
            sampling_freq_hz=sampling_freq_hz,
            center_freq_hz=iq_format.center_freq_hz,
            line_pitch_m=iq_format.line_pitch_m,
            start_depth_m=iq_format.start_depth_m,
            sound_speed_m_s=iq_format.sound_speed_m_s,
        )
        self._table = interpolation_table(N_TAPS, N_PHASES, PASS_EDGE)
        pixels_m = iq_format.grid.depth_m
        kept = iq_format.carrier == "kept"
        self._down = self._turn(-pixels_m if kept else 0.0 * pixels_m)
        self._up = self._turn(self.format.grid.depth_m)

    def _turn(self, depth_m: NDArray[np.float64]) -> NDArray[np.complex64]:
        """The carrier at these depths."""
        cycles = 2.0 * self.iq_format.demodulation_freq_hz * depth_m
        cycles /= self.iq_format.sound_speed_m_s
        return np.exp(2j * np.pi * (cycles % 1.0)).astype(np.complex64)

    def __call__(self, samples: NDArray[np.generic]) -> Float32Image:
        """RF lines, float32 (n_lines, n_samples) of ``format``, from complex (n_lines, n_samples)
        of ``iq_format``; pixels that are not finite count as 0."""
        iq_format = self.iq_format
        check_shape(samples, {"n_lines": iq_format.n_lines, "n_samples": iq_format.n_samples})
        pixels = np.ascontiguousarray(samples, np.complex64)
        lines = np.empty((self.format.n_lines, self.format.n_samples), np.float32)
        over_lines(
            _remodulate,
            self.format.n_lines,
            pixels,
            self._down,
            self._up,
            self._ratio,
            self._table,
            lines,
        )
        return lines


@kernel(fastmath=FASTMATH)
def _remodulate(pixels, down, up, ratio, table, lines, begin, end):  # type: ignore[no-untyped-def]
    n_pixels = pixels.shape[1]
    n_taps = table.shape[1]
    n_phases = table.shape[0] - 1
    real = np.zeros(n_pixels + 2 * n_taps, np.float32)
    imag = np.zeros(n_pixels + 2 * n_taps, np.float32)
    for i in range(begin, end):
        for n in range(n_pixels):
            p, q = finite(pixels[i, n].real), finite(pixels[i, n].imag)
            real[n_taps + n] = p * down[n].real - q * down[n].imag
            imag[n_taps + n] = p * down[n].imag + q * down[n].real
        line = lines[i]
        for j in range(line.size):
            place = j * ratio
            base = int(place)
            weights = table[int((place - base) * n_phases + 0.5)]
            first = base - (n_taps // 2 - 1) + n_taps
            p = np.float32(0.0)
            q = np.float32(0.0)
            for k in range(n_taps):
                p += weights[k] * real[first + k]
                q += weights[k] * imag[first + k]
            line[j] = p * up[j].real - q * up[j].imag
