"""A second simulator, independent of the one for training: element signals by PyMUST, then delay and sum.

The networks are trained on the point-spread model of `rtelasto_engines.simulate.echo`. Echoes from another
simulator show whether they learned tissue or only that model: PyMUST (Garcia, "SIMUS: an open-source
simulator for medical ultrasound imaging", Computer Methods and Programs in Biomedicine 218, 2022) sums the
field of every element over frequency, including diffraction and directivity, and the beamformer of rtelasto
computes the lines, as from the channel data of a scanner.

It needs the extra ``channel``. A pair takes about half a minute.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.errors import MissingExtraError
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto_engines.simulate.fem import solve
from rtelasto_engines.simulate.pair import SimulatedPair
from rtelasto_engines.simulate.tissue import PUBLISHED_YOUNG_KPA, Inclusion, Tissue

PROBE = "L11-5v"
N_ELEMENTS = 128
DEPTH_M = (0.004, 0.024)
TISSUE_M = (0.042, 0.026)
SCATTERERS_PER_MM2 = 8.0
_SOUND_SPEED_M_S = 1540.0


class ChannelModel:
    """Echoes of scatterers as RF lines: one plane wave, all elements, delay and sum.

    Parameters
    ----------
    n_elements
        Number of elements of the array.

    Attributes
    ----------
    format : RfFormat
        Format of the RF lines: 6.4 samples per wavelength, a line at every element.
    n_samples : int
        Number of samples of the signal of an element.

    Raises
    ------
    MissingExtraError
        If PyMUST is not installed.
    """

    def __init__(self, n_elements: int = N_ELEMENTS) -> None:
        try:
            import pymust
        except ImportError:
            raise MissingExtraError("the channel-level simulator", "channel") from None
        self._must = pymust
        self._param = pymust.getparam(PROBE)
        self._param.Nelements = n_elements
        self._param.c = _SOUND_SPEED_M_S
        self._param.fs = 4.0 * self._param.fc
        self._options = pymust.utils.Options()
        self._options.WaitBar = False
        farthest_m = math.hypot(DEPTH_M[1] + 2e-3, n_elements * self._param.pitch)
        self.n_samples = math.ceil(
            (DEPTH_M[1] + 2e-3 + farthest_m) / _SOUND_SPEED_M_S * self._param.fs
        )
        self._beamformer = Beamformer(
            ChannelFormat(
                n_acquisitions=1,
                n_channels=n_elements,
                n_samples=self.n_samples,
                sampling_freq_hz=self._param.fs,
                center_freq_hz=self._param.fc,
                element_pitch_m=self._param.pitch,
                sound_speed_m_s=_SOUND_SPEED_M_S,
            ),
            BeamformSettings(
                samples_per_wavelength=6.4, start_depth_m=DEPTH_M[0], end_depth_m=DEPTH_M[1]
            ),
        )
        self.format = self._beamformer.format

    def channel_data(
        self,
        x_m: NDArray[np.float64],
        z_m: NDArray[np.float64],
        amplitude: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """Return noise-free signals (1, element, sample) of scatterers at x (from the middle), z (depth)."""
        delays = self._must.txdelay(self._param, 0.0)
        rf, _ = self._must.simus(x_m, z_m, amplitude, delays, self._param, self._options)
        signals = np.zeros((1, rf.shape[1], self.n_samples), np.float32)
        n = min(self.n_samples, rf.shape[0])
        signals[0, :, :n] = rf[:n].T
        return signals

    def lines(self, channel_data: NDArray[np.float32]) -> Float32Image:
        """Return the RF lines (line, sample) of channel data."""
        return self._beamformer(channel_data)


def channel_tissue(rng: np.random.Generator) -> Tissue:
    """Return a tissue of 42 × 26 mm with one of the published inclusions, entirely in the image."""
    semi_x_m, semi_z_m = (float(semi) for semi in rng.uniform(2.5e-3, 4.5e-3, 2))
    inclusion = Inclusion(
        x_m=rng.uniform(-8e-3, 8e-3),
        z_m=rng.uniform(11e-3, 17e-3),
        semi_x_m=semi_x_m,
        semi_z_m=semi_z_m,
        angle_rad=rng.uniform(0.0, math.pi),
        young_kpa=float(rng.choice(PUBLISHED_YOUNG_KPA)),
    )
    return Tissue(width_m=TISSUE_M[0], depth_m=TISSUE_M[1], inclusions=(inclusion,))


def simulate_channel_pair(
    rng: np.random.Generator | int, *, truth_stride: int = 1, n_elements: int = N_ELEMENTS
) -> SimulatedPair:
    """Simulate a pair of beamformed frames with truth: published-style inclusion, 0.3–2 %, 15–40 dB.

    The noise is white on every element and is scaled by its power after beamforming, so that the echo SNR is
    that of the lines.

    Parameters
    ----------
    rng
        A generator, or a seed. The same seed gives the same pair.
    truth_stride
        Axial step of the truth, in samples.
    n_elements
        Number of elements of the array.

    Raises
    ------
    MissingExtraError
        If PyMUST or scikit-fem is not installed.
    """
    rng = np.random.default_rng(rng)
    model = ChannelModel(n_elements)
    tissue = channel_tissue(rng)
    applied_strain = -math.exp(rng.uniform(math.log(0.003), math.log(0.02)))
    echo_snr_db = float(rng.uniform(15.0, 40.0))
    field = solve(tissue).field(applied_strain=applied_strain)
    width_m, depth_m = TISSUE_M
    count = round(SCATTERERS_PER_MM2 * 1e6 * width_m * depth_m)
    x_m = rng.uniform(-0.5 * width_m, 0.5 * width_m, count)
    z_m = rng.uniform(1e-3, depth_m, count)
    amplitude = rng.standard_normal(count) * tissue.echo_gain(x_m, z_m)
    moved = field.gradient(x_m, z_m)
    before = model.lines(model.channel_data(x_m, z_m, amplitude))
    after = model.lines(model.channel_data(x_m + moved.v, z_m + moved.u, amplitude))
    unit = float(np.sqrt(np.mean(np.square(before, dtype=np.float64))))

    def received(lines: Float32Image) -> Float32Image:
        shape = (1, n_elements, model.n_samples)
        noise = model.lines(rng.standard_normal(shape, dtype=np.float32))
        noise *= 10.0 ** (-echo_snr_db / 20.0) / np.sqrt(np.mean(np.square(noise)))
        return lines / np.float32(unit) + noise

    rf_grid = model.format.grid
    grid = Grid(
        rf_grid.n_lines,
        -(-rf_grid.n_depths // truth_stride),
        rf_grid.axial_step_m * truth_stride,
        rf_grid.line_pitch_m,
        rf_grid.start_depth_m,
    )
    metadata: dict[str, Any] = {
        "kind": "channel",
        "applied_strain": applied_strain,
        "probe": PROBE,
        "n_elements": n_elements,
        "n_scatterers": count,
        "artefacts": {"echo_snr_db": echo_snr_db},
        "tissue": dataclasses.asdict(tissue),
    }
    pre, post = received(before), received(after)
    return SimulatedPair(pre, post, model.format, field.truth(grid), field, metadata)
