"""Echoes of plane waves: a fast model of beamformed lines, computed in the wavenumber domain.

The echo of a point for a plane wave from direction α, received at the angle θ, has the wave vector k·(sin α +
sin θ, cos α + cos θ). Delay and sum with a constant F-number sums over every θ in the aperture, so that the
image of a point is the Fourier transform of pulse spectrum times apodisation over that set of wave vectors.
It does not depend on the position of the point: it is an X instead of the ellipse of a Gaussian beam, with
the side lobes of the aperture's window. Near the ends of the array the aperture is cut on one side, and with
depth the pulse loses its high frequencies; there are tables for both.

It is independent of the channel-level simulator `rtelasto_engines.simulate.channel`, which is used for tests,
and a hundred times as fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import RfFormat
from rtelasto.host.compiled import kernel
from rtelasto_engines.simulate.acoustics import Acoustics, pulse_tables
from rtelasto_engines.simulate.echo import Scatterers

Float64Array = NDArray[np.float64]

_REACH_LINES = 12
_LATERAL = 8  # table columns per line
_AXIAL = 16  # table entries per sample
_TAPS = 128
_CUTS = 5  # apertures from half to full
_DEPTHS = 3


@dataclass(frozen=True, slots=True)
class PlaneWaves:
    """The transmission and reception of plane waves.

    Parameters
    ----------
    angles_rad
        Directions of the waves, which are compounded coherently; symmetric about 0.
    receive_f_number
        F-number of delay and sum, at every depth.
    taper
        0: uniform aperture (high side lobes), 1: a Hann window.
    array_width_m
        Length of the array, centred on the image; None: no aperture is ever cut.
    """

    angles_rad: tuple[float, ...] = (0.0,)
    receive_f_number: float = 1.5
    taper: float = 0.5
    array_width_m: float | None = None


class PlaneWaveModel:
    """Computes RF lines from scatterers; replaces `rtelasto_engines.simulate.echo.EchoModel`.

    Parameters
    ----------
    rf_format
        Size and physics of the RF frame.
    acoustics
        Pulse and attenuation; its beams are not used.
    waves
        Directions and aperture.
    """

    def __init__(self, rf_format: RfFormat, acoustics: Acoustics, waves: PlaneWaves) -> None:
        self.format, self.acoustics, self.waves = rf_format, acoustics, waves
        self._depth_m = rf_format.start_depth_m + rf_format.n_samples * rf_format.axial_step_m * (
            (np.arange(_DEPTHS) + 0.5) / _DEPTHS
        )
        self._tables = np.stack(
            [
                [self._table(depth, cut) for cut in np.linspace(0.0, 1.0, _CUTS)]
                for depth in self._depth_m
            ]
        )
        # Like those of a focused beam, the echoes have unit energy over the lines.
        whole = self._tables[:, -1, ::_LATERAL, 0]
        self._tables /= np.sqrt((whole**2).sum(axis=(1, 2)).mean())
        self.margin_x_m = _REACH_LINES * rf_format.line_pitch_m
        self.margin_z_m = 0.5 * _TAPS * rf_format.axial_step_m

    @property
    def receive_filter(self) -> NDArray[np.float32]:
        """The pulse with unit energy, which filters the noise."""
        tables, _ = pulse_tables(self.format, self.acoustics, np.zeros(1))
        return np.ascontiguousarray(tables[0, 0])

    def _table(self, depth_m: float, cut: float) -> NDArray[np.float32]:
        """Return the image of a point by lateral offset and sample fraction: (columns, entries, taps)."""
        f, a, waves = self.format, self.acoustics, self.waves
        columns, n_fft = 2 * _REACH_LINES * _LATERAL, 2 * _TAPS * _AXIAL
        step_m = f.axial_step_m / _AXIAL
        kx = 2.0 * math.pi * np.fft.fftfreq(columns, f.line_pitch_m / _LATERAL)[:, None]
        # There is nothing above half the sampling frequency.
        kz = 2.0 * math.pi * np.fft.rfftfreq(n_fft, step_m)[None, : 2 * _TAPS // 2 + 1]
        centre = 2.0 * math.pi * f.center_freq_hz / f.sound_speed_m_s
        sigma = a.fractional_bandwidth * centre / 2.355
        half = 0.5 / waves.receive_f_number
        total = np.zeros((columns, kz.size), complex)
        with np.errstate(divide="ignore", invalid="ignore"):
            for angle in waves.angles_rad:
                k = (kx**2 + kz**2) / (2.0 * (kx * math.sin(angle) + kz * math.cos(angle)))
                sine = kx / k - math.sin(angle)
                reach = sine / np.sqrt(np.maximum(1.0 - sine**2, 1e-6)) / half
                window = 1.0 - waves.taper + waves.taper * np.cos(0.5 * math.pi * reach) ** 2
                taken = (
                    (np.abs(sine) < 1.0) & (reach > -1.0) & (reach < max(cut, 0.02)) & (kz > 0.0)
                )
                relative = (k - centre) / sigma
                part = np.exp(-0.5 * relative**2 + 1j * a.pulse_phase_rad)
                part = part * np.exp(
                    0.5j * a.pulse_skew * relative**3 * np.exp(-(relative**2) / 18.0)
                )
                hz = f.sound_speed_m_s / (2.0 * math.pi) * (k - centre)
                neper = a.attenuation_db_per_cm_mhz * 100.0 / 1e6 / 8.685889638
                part = part * np.exp(np.clip(-2.0 * neper * depth_m * hz, -20.0, 5.0))
                total += np.where(taken, window * part, 0.0)
        nyquist = math.pi / f.axial_step_m
        total *= np.clip((nyquist - kz) / (0.06 * nyquist), 0.0, 1.0)
        image = np.fft.irfft(np.fft.ifft(total, axis=0), n_fft, axis=1)
        image = np.fft.fftshift(image, axes=(0, 1))
        taps = n_fft // 2 + _AXIAL * (np.arange(_TAPS) - _TAPS // 2)
        table = image[:, taps[None, :] - np.arange(_AXIAL + 1)[:, None]]
        along = np.hanning(_TAPS + 2)[1:-1] ** 0.25
        across = np.hanning(columns + 1)[:-1, None, None] ** 0.25
        return np.ascontiguousarray(table * along * across, np.float32)

    def rf(self, scatterers: Scatterers) -> NDArray[np.float32]:
        """Return noise-free RF lines, float32 (n_lines, n_samples)."""
        f = self.format
        out = np.zeros((f.n_lines, f.n_samples), np.float32)
        if scatterers.x_m.size == 0:
            return out
        order = np.argsort(scatterers.x_m, kind="stable")
        x_m, z_m = scatterers.x_m[order], scatterers.z_m[order]
        amplitude = scatterers.amplitude[order]
        if self.acoustics.gain_slope_db_per_cm != 0.0:
            below_cm = 100.0 * (z_m - f.start_depth_m)
            amplitude = amplitude * 10.0 ** (self.acoustics.gain_slope_db_per_cm * below_cm / 20.0)
        cut = np.ones(x_m.size)
        if self.waves.array_width_m is not None:
            left_m = 0.5 * self.waves.array_width_m - np.abs(x_m)
            half_m = 0.5 * np.maximum(z_m, 1e-4) / self.waves.receive_f_number
            cut = np.clip(left_m / half_m, 0.0, 1.0)
        depth = np.abs(z_m[:, None] - self._depth_m[None, :]).argmin(1)
        _add(
            x_m / f.line_pitch_m + 0.5 * (f.n_lines - 1),
            (z_m - f.start_depth_m) / f.axial_step_m,
            amplitude.astype(np.float32),
            depth,
            np.rint((_CUTS - 1) * cut).astype(np.int64),
            x_m < 0.0,
            self._tables,
            out,
        )
        return out


@kernel(fastmath=True)
def _add(
    x_lines: Float64Array,
    z_samples: Float64Array,
    amplitude: NDArray[np.float32],
    depth: NDArray[np.int64],
    cut: NDArray[np.int64],
    mirrored: NDArray[np.bool_],
    tables: NDArray[np.float32],
    rf: NDArray[np.float32],
) -> None:
    """Add every scatterer, sorted by x, to every line in range; tables are mirrored left of the middle."""
    n_lines, n_samples = rf.shape
    columns, n_taps = tables.shape[2], tables.shape[4]
    oversampling = tables.shape[3] - 1
    row = np.empty(n_samples + 2 * n_taps, np.float32)
    begin = 0
    for line in range(n_lines):
        while begin < x_lines.size and x_lines[begin] < line - _REACH_LINES:
            begin += 1
        row[:] = 0.0
        for s in range(begin, x_lines.size):
            offset = line - x_lines[s]
            if offset < -_REACH_LINES + 1:
                break
            if mirrored[s]:
                offset = -offset
            column = offset * _LATERAL + columns // 2
            if column < 0.0 or column >= columns - 1:
                continue
            i = int(column)
            to_right = np.float32(column - i)
            whole = int(np.floor(z_samples[s]))
            start = whole - n_taps // 2 + n_taps
            if start < 0 or start > n_samples + n_taps:
                continue
            part = (z_samples[s] - whole) * oversampling
            j = int(part)
            later = np.float32(part - j)
            a = amplitude[s]
            w00 = a * (np.float32(1.0) - to_right) * (np.float32(1.0) - later)
            w01 = a * (np.float32(1.0) - to_right) * later
            w10 = a * to_right * (np.float32(1.0) - later)
            w11 = a * to_right * later
            here = tables[depth[s], cut[s]]
            t00, t01, t10, t11 = here[i, j], here[i, j + 1], here[i + 1, j], here[i + 1, j + 1]
            for k in range(n_taps):
                row[start + k] += w00 * t00[k] + w01 * t01[k] + w10 * t10[k] + w11 * t11[k]
        for k in range(n_samples):
            rf[line, k] += row[k + n_taps]
