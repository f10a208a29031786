"""The probe: its pulse and its beam, as they change with depth.

The beams are Gaussian: the transmit beam has a fixed focus (waist, spread and curvature of a
Gaussian beam: Siegman, Lasers, 1986, ch. 17, z from the focus), the receive beam is focused at every depth up
to the limit of its aperture. Near the ends of the array the receive aperture is cut on one side, which widens
the beam and tilts the echoes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat

Float64Array = NDArray[np.float64]

OVERSAMPLING = 32
"""Pulse table entries per RF sample; between them the table is linear, error < 5e-4 of the peak."""
_FWHM_PER_F_NUMBER = 1.206  # −6 dB width of a uniform aperture's beam, in wavelengths × F-number


@dataclass(frozen=True, slots=True)
class Acoustics:
    """The imaging properties of the probe.

    Parameters
    ----------
    fractional_bandwidth
        −6 dB two-way bandwidth over the centre frequency.
    pulse_phase_rad
        Phase of the carrier under the peak of the envelope.
    pulse_skew
        0: Gaussian spectrum, symmetric pulse; up to ±1: cubic spectral phase, ringing on one side.
    transmit_f_number, focus_m, receive_f_number, aperture_m
        Transmit focus and F-number there; receive F-number, constant until the aperture reaches
        ``aperture_m``.
    array_width_m
        Length of the array, centred on the image; None: no aperture is ever cut.
    pedestal_db
        Level of a beam skirt three times as wide as the main lobe (side lobes, aberration),
        relative to the main lobe; None: no skirt. It doubles the time to simulate.
    elevation_m
        −6 dB two-way thickness of the image plane; sets how fast speckle decorrelates out of plane.
    attenuation_db_per_cm_mhz
        Tissue attenuation (one way). It lowers the centre frequency with depth.
    gain_slope_db_per_cm
        Change of the echo level with depth that remains after the TGC.
    """

    fractional_bandwidth: float = 0.6
    pulse_phase_rad: float = 0.0
    pulse_skew: float = 0.0
    transmit_f_number: float = 2.5
    focus_m: float = 0.025
    receive_f_number: float = 1.5
    aperture_m: float = 0.020
    array_width_m: float | None = None
    pedestal_db: float | None = None
    elevation_m: float = 1.2e-3
    attenuation_db_per_cm_mhz: float = 0.5
    gain_slope_db_per_cm: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "fractional_bandwidth",
            "transmit_f_number",
            "focus_m",
            "receive_f_number",
            "aperture_m",
            "elevation_m",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise RtelastoError(f"{name} must be a positive number, got {value!r}")
        if self.fractional_bandwidth > 1.5:
            raise RtelastoError(
                f"fractional_bandwidth must not exceed 1.5, got {self.fractional_bandwidth:g}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Beam:
    """The beam at some points, for a scatterer at a lateral distance x from the line.

    The two-way amplitude is exp(−decay·x²); the echo appears deeper by curvature·x² + slant·x.
    """

    decay_per_m2: Float64Array
    curvature_per_m: Float64Array
    slant: Float64Array

    @property
    def fwhm_m(self) -> Float64Array:
        """−6 dB two-way width."""
        return 2.0 * np.sqrt(math.log(2.0) / self.decay_per_m2)


def beam_at(
    x_m: NDArray[np.floating] | float,
    depth_m: NDArray[np.floating],
    rf_format: RfFormat,
    acoustics: Acoustics,
) -> Beam:
    """Return the two-way lateral beam of lines at x, at depths."""
    depth = np.maximum(np.asarray(depth_m, np.float64), 1e-4)
    wavelength_m = rf_format.wavelength_m
    to_waist = _FWHM_PER_F_NUMBER / (2.0 * math.sqrt(math.log(2.0)))
    waist_m = to_waist * wavelength_m * acoustics.transmit_f_number
    rayleigh_m = math.pi * waist_m**2 / wavelength_m
    past_focus_m = depth - acoustics.focus_m
    transmit_m2 = waist_m**2 * (1.0 + (past_focus_m / rayleigh_m) ** 2)
    inverse_radius = past_focus_m / (past_focus_m**2 + rayleigh_m**2)
    half_m = 0.5 * np.minimum(depth / acoustics.receive_f_number, acoustics.aperture_m)
    slant = np.zeros_like(depth)
    if acoustics.array_width_m is not None:
        cut_m = np.maximum(0.0, np.abs(x_m) + half_m - 0.5 * acoustics.array_width_m)
        cut_m = np.minimum(cut_m, half_m)
        half_m = half_m - 0.5 * cut_m
        # The centre of the aperture moves inwards by half of the cut. A scatterer to the side, towards that
        # centre, is closer by x·shift/z on one of the two paths: half of that in depth.
        slant = 0.25 * np.sign(x_m) * cut_m / depth
    receive_m2 = (to_waist * wavelength_m * depth / (2.0 * half_m)) ** 2
    # A path longer by x²/2R on one of the two paths appears as half of that in depth.
    return Beam(1.0 / transmit_m2 + 1.0 / receive_m2, 0.25 * inverse_radius, slant)


def pulse_length_m(rf_format: RfFormat, acoustics: Acoustics) -> float:
    """Return the −6 dB length of the pulse's envelope, in depth."""
    # Gaussian: width of the envelope × width of the amplitude spectrum = 4 ln2 / π.
    bandwidth_hz = acoustics.fractional_bandwidth * rf_format.center_freq_hz
    return 0.5 * rf_format.sound_speed_m_s * 4.0 * math.log(2.0) / (math.pi * bandwidth_hz)


def resolution_cell_m2(rf_format: RfFormat, acoustics: Acoustics) -> float:
    """Return the area of a resolution cell: −6 dB pulse length times −6 dB beam width at mid-depth."""
    middle_m = rf_format.start_depth_m + 0.5 * rf_format.n_samples * rf_format.axial_step_m
    beam = beam_at(0.0, np.array([middle_m]), rf_format, acoustics)
    return pulse_length_m(rf_format, acoustics) * float(beam.fwhm_m[0])


def pulse_tables(
    rf_format: RfFormat, acoustics: Acoustics, depth_m: NDArray[np.floating]
) -> tuple[NDArray[np.float32], int]:
    """Return the pulse at some depths, for every fraction of a sample.

    Returns
    -------
    tables
        float32 (n_depths, OVERSAMPLING + 1, n_taps): entry [b, j] is the pulse delayed by
        j/OVERSAMPLING samples, of unit energy: Σ taps² = 1. Zeros at the end make n_taps a multiple
        of 16, a whole number of vector registers (twice as fast).
    middle
        The tap at the peak of the envelope for j = 0.
    """
    fs, fc = rf_format.sampling_freq_hz, rf_format.center_freq_hz
    sigma_hz = acoustics.fractional_bandwidth * fc / (2.0 * math.sqrt(2.0 * math.log(2.0)))
    n_half = max(
        4, math.ceil((4.0 + 3.0 * abs(acoustics.pulse_skew)) * fs / (2.0 * math.pi * sigma_hz))
    )
    # Four times the kept length, so that the wrap-around is far below the error of the table.
    n_fft = 1 << math.ceil(math.log2(8 * n_half))
    freq = np.fft.rfftfreq(n_fft * OVERSAMPLING, 1.0 / (fs * OVERSAMPLING))
    relative = (freq - fc) / sigma_hz
    spectrum = np.exp(-0.5 * relative**2 + 1j * acoustics.pulse_phase_rad)
    spectrum *= np.exp(0.5j * acoustics.pulse_skew * relative**3 * np.exp(-(relative**2) / 18.0))
    # The anti-aliasing filter of any receiver: nothing above half the sampling frequency.
    spectrum *= np.clip((0.5 * fs - freq) / (0.06 * fs), 0.0, 1.0)
    spectrum[0] = 0.0
    neper_per_m_hz = acoustics.attenuation_db_per_cm_mhz * 100.0 / 1e6 / 8.685889638
    lost = np.exp(-2.0 * neper_per_m_hz * np.asarray(depth_m)[:, None] * (freq - fc)[None, :])
    pulses = np.fft.irfft(spectrum * lost, axis=1)
    taps, delays = np.arange(-n_half, n_half + 1), np.arange(OVERSAMPLING + 1)
    index = OVERSAMPLING * taps[None, :] - delays[:, None]
    tables = pulses[:, index]
    edge = np.clip((n_half + 0.5 - np.abs(index / OVERSAMPLING)) / (0.15 * n_half), 0.0, 1.0)
    tables *= 0.5 - 0.5 * np.cos(math.pi * edge)
    tables /= np.sqrt((tables**2).sum(axis=2).mean(axis=1))[:, None, None]
    fill = -tables.shape[2] % 16
    return np.pad(tables, ((0, 0), (0, 0), (0, fill))).astype(np.float32), n_half
