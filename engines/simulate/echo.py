"""Echoes of point scatterers: a depth-dependent point-spread model of beamformed RF lines.

Each scatterer adds one pulse to each line near it, weighted by the two-way lateral beam profile and
delayed by the curvature of the transmitted wavefront. Positions are continuous: the pulse is
tabulated at 1/32 of a sample and linear in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import RfFormat
from rtelasto.host.compiled import kernel
from rtelasto_engines.simulate.acoustics import Acoustics, beam_at, pulse_tables

Float64Array = NDArray[np.float64]

_BANKS = 64  # pulse tables along the depth, for the falling frequency; steps of some 20 kHz
_CUT = 1e-3  # lateral weights below −60 dB are ignored


@dataclass(frozen=True, slots=True, eq=False)
class Scatterers:
    """Points: float64 (n,) positions in m (x from the image centre, z depth) and amplitudes."""

    x_m: Float64Array
    z_m: Float64Array
    amplitude: Float64Array


@kernel(fastmath=True)
def _add_echoes(
    bins: NDArray[np.int16],
    x_lines: Float64Array,
    z_samples: Float64Array,
    amplitude: NDArray[np.float32],
    decay: Float64Array,
    curvature: Float64Array,
    slant: Float64Array,
    reach: Float64Array,
    pedestal: float,
    bank: NDArray[np.int64],
    tables: NDArray[np.float32],
    middle: int,
    rf: NDArray[np.float32],
) -> None:
    """Add every scatterer to every line in range; lateral lengths in lines, axial in samples.

    The scatterers are sorted by ``bins``, their nearest line.
    """
    n_lines, n_samples = rf.shape
    n_taps = tables.shape[2]
    oversampling = tables.shape[1] - 1
    widest = int(np.ceil(reach.max())) + 1
    begin = 0
    # A margin on either side instead of a test at every tap: the inner loop has a fixed length.
    row = np.empty(n_samples + 2 * n_taps, np.float32)
    for line in range(n_lines):
        while begin < bins.size and bins[begin] < line - widest:
            begin += 1
        row[:] = 0.0
        for s in range(begin, bins.size):
            if bins[s] > line + widest:
                break
            dx = x_lines[s] - line
            if abs(dx) > reach[s]:
                continue
            square = dx * dx
            weight = np.exp(-decay[s] * square)
            if pedestal > 0.0:
                weight += pedestal * np.exp(-decay[s] * square / 9.0)
            weight *= amplitude[s]
            z = z_samples[s] + curvature[s] * square + slant[s] * dx
            whole = int(np.floor(z))
            start = whole - middle + n_taps
            if start < 0 or start > n_samples + n_taps:
                continue
            part = (z - whole) * oversampling
            j = int(part)
            right = np.float32(weight * (part - j))
            left = np.float32(weight) - right
            lower, upper = tables[bank[s], j], tables[bank[s], j + 1]
            for k in range(n_taps):
                row[start + k] += left * lower[k] + right * upper[k]
        for k in range(n_samples):
            rf[line, k] += row[k + n_taps]


class EchoModel:
    """Computes RF lines from scatterers for one format and probe; reusable and thread-safe.

    Parameters
    ----------
    rf_format
        Size and physics of the RF frame.
    acoustics
        Pulse, beam and attenuation.
    """

    def __init__(self, rf_format: RfFormat, acoustics: Acoustics | None = None) -> None:
        self.format = rf_format
        self.acoustics = acoustics or Acoustics()
        end_m = rf_format.start_depth_m + rf_format.n_samples * rf_format.axial_step_m
        self._bank_depth_m = np.linspace(max(0.0, rf_format.start_depth_m), end_m, _BANKS)
        if self.acoustics.attenuation_db_per_cm_mhz == 0.0:
            self._bank_depth_m = self._bank_depth_m[:1]
        self._tables, self._middle = pulse_tables(rf_format, self.acoustics, self._bank_depth_m)
        self._pedestal = 0.0
        self._reach = math.sqrt(-math.log(_CUT))
        if self.acoustics.pedestal_db is not None:
            self._pedestal = 10.0 ** (self.acoustics.pedestal_db / 20.0)
            skirt = 3.0 * math.sqrt(max(0.0, -math.log(_CUT / self._pedestal)))
            self._reach = max(self._reach, skirt)
        half_width_m = 0.5 * rf_format.n_lines * rf_format.line_pitch_m
        beam = beam_at(half_width_m, self._bank_depth_m, rf_format, self.acoustics)
        self.margin_x_m = self._reach / math.sqrt(beam.decay_per_m2.min())
        self.margin_z_m = (self._middle + 1) * rf_format.axial_step_m

    @property
    def receive_filter(self) -> NDArray[np.float32]:
        """The pulse at the first depth with unit energy, which filters the noise."""
        return np.ascontiguousarray(self._tables[0, 0])

    def rf(self, scatterers: Scatterers) -> NDArray[np.float32]:
        """Return noise-free RF lines, float32 (n_lines, n_samples)."""
        f = self.format
        out = np.zeros((f.n_lines, f.n_samples), np.float32)
        if scatterers.x_m.size == 0:
            return out
        x_lines = scatterers.x_m / f.line_pitch_m + 0.5 * (f.n_lines - 1)
        bins = np.clip(np.rint(x_lines), -8192, 16383).astype(np.int16)
        order = np.argsort(bins, kind="stable")
        x_m, z_m = scatterers.x_m[order], scatterers.z_m[order]
        beam = beam_at(x_m, z_m, f, self.acoustics)
        decay = beam.decay_per_m2 * f.line_pitch_m**2
        # Σ over the lines of exp(−2·decay·dx²) = √(π / 2·decay): a wide beam does not receive more.
        gain = (2.0 * decay / math.pi) ** 0.25
        if self.acoustics.gain_slope_db_per_cm != 0.0:
            below_cm = 100.0 * (z_m - self._bank_depth_m[0])
            gain *= 10.0 ** (self.acoustics.gain_slope_db_per_cm * below_cm / 20.0)
        bank = np.zeros(z_m.size, np.int64)
        if self._bank_depth_m.size > 1:
            step_m = self._bank_depth_m[1] - self._bank_depth_m[0]
            nearest = np.rint((z_m - self._bank_depth_m[0]) / step_m)
            bank = np.clip(nearest, 0, self._bank_depth_m.size - 1).astype(np.int64)
        _add_echoes(
            bins[order],
            x_lines[order],
            (z_m - f.start_depth_m) / f.axial_step_m,
            (scatterers.amplitude[order] * gain).astype(np.float32),
            decay,
            beam.curvature_per_m * f.line_pitch_m**2 / f.axial_step_m,
            beam.slant * f.line_pitch_m / f.axial_step_m,
            self._reach / np.sqrt(decay),
            self._pedestal,
            bank,
            self._tables,
            self._middle,
            out,
        )
        return out
