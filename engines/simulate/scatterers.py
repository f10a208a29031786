"""The scatterers of the tissue: their positions, echo strengths, and motion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from rtelasto.frames.rf import RfFormat
from rtelasto_engines.simulate.acoustics import (
    Acoustics,
    beam_at,
    pulse_length_m,
    resolution_cell_m2,
)
from rtelasto_engines.simulate.echo import EchoModel, Scatterers
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.plane_wave import PlaneWaveModel
from rtelasto_engines.simulate.tissue import Tissue

Float64Array = NDArray[np.float64]

# Several resolution cells away: independent of the old position.
_REPLACED_WITHIN_M = 2e-3


@dataclass(frozen=True, slots=True)
class SpecularLayer:
    """A bright, smooth interface (fascia, bone) at z_m + slope·x with a slight undulation.

    ``gain_db`` is relative to speckle. It moves with the tissue.
    """

    z_m: float
    slope: float = 0.0
    wave_m: float = 0.0
    wave_length_m: float = 0.02
    gain_db: float = 15.0


@dataclass(frozen=True, slots=True)
class Shadow:
    """Attenuation of echoes below (x, z) over a width, as behind bone or a calcification."""

    x_m: float
    z_m: float
    width_m: float
    loss_db: float


@dataclass(frozen=True, slots=True)
class EchoTexture:
    """The scattering properties of the tissue.

    Parameters
    ----------
    per_cell
        Scatterers per resolution cell (−6 dB pulse length × −6 dB beam width at mid-depth).
    count
        Total number of scatterers within the image, as in "10,000 scatterers", instead of ``per_cell``.
    cloudiness_db, cloud_size_m
        Slow random variation of the echo level, and its correlation length.
    specular, shadows
        Bright interfaces and shadows.
    """

    per_cell: float = 4.0
    count: int | None = None
    cloudiness_db: float = 0.0
    cloud_size_m: float = 4e-3
    specular: tuple[SpecularLayer, ...] = ()
    shadows: tuple[Shadow, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ScattererCloud:
    """Scatterers of the reference state, with amplitudes in several elevational planes.

    ``amplitude`` is float32 (n_planes, n). Seen at elevation y, a scatterer's amplitude is the sum
    over the planes weighted by the two-way elevational beam, scaled to constant power: moving out
    of plane replaces speckle by independent speckle, as for a beam of that thickness.
    """

    x_m: Float64Array
    z_m: Float64Array
    amplitude: NDArray[np.float32]
    plane_m: Float64Array
    elevation_m: float

    def moved(self, field: DisplacementField | None, *, elevation_m: float = 0.0) -> Scatterers:
        """Return the scatterers after a motion, at ``elevation_m`` from the first plane."""
        if self.plane_m.size == 1:
            amplitude = self.amplitude[0].astype(np.float64)
        else:
            offset = (self.plane_m - elevation_m) / self.elevation_m
            weights = np.exp(-4.0 * math.log(2.0) * offset**2)
            amplitude = (weights / math.sqrt((weights**2).sum())) @ self.amplitude
        if field is None:
            return Scatterers(self.x_m, self.z_m, amplitude)
        u, v = field.at(self.x_m, self.z_m)
        return Scatterers(self.x_m + v, self.z_m + u, amplitude)

    def replaced(self, rng: np.random.Generator, share: float) -> ScattererCloud:
        """Return the cloud with a share of its scatterers replaced by others: flow, or motion out of plane.

        The new ones have other positions; their strengths are those of the old ones, in another order and
        with other signs.
        """
        gone = np.flatnonzero(rng.random(self.x_m.size) < share)
        x_m, z_m, amplitude = self.x_m.copy(), self.z_m.copy(), self.amplitude.copy()
        # The strength depends on the position (gain of the tissue, shadows), so the new ones stay close.
        x_m[gone] += rng.uniform(-1.0, 1.0, gone.size) * _REPLACED_WITHIN_M
        z_m[gone] += rng.uniform(-1.0, 1.0, gone.size) * _REPLACED_WITHIN_M
        amplitude[:, gone] *= rng.choice(np.array([-1.0, 1.0], np.float32), gone.size)
        return ScattererCloud(x_m, z_m, amplitude, self.plane_m, self.elevation_m)


def scatter(
    rng: np.random.Generator,
    model: EchoModel | PlaneWaveModel,
    texture: EchoTexture,
    *,
    tissue: Tissue | None = None,
    travel_x_m: float = 0.0,
    travel_z_m: float = 0.0,
    travel_y_m: float = 0.0,
) -> ScattererCloud:
    """Create scatterers over the image and as far beyond it as the motion can move tissue into view.

    Parameters
    ----------
    travel_x_m, travel_z_m, travel_y_m
        Largest later lateral, axial and out-of-plane motion, in either direction.
    """
    f, acoustics = model.format, model.acoustics
    width_m, depth_m = f.n_lines * f.line_pitch_m, f.n_samples * f.axial_step_m
    density = (
        texture.per_cell / resolution_cell_m2(f, acoustics)
        if texture.count is None
        else texture.count / (width_m * depth_m)
    )
    margin_x, margin_z = model.margin_x_m + travel_x_m, model.margin_z_m + travel_z_m
    left, right = -0.5 * width_m - margin_x, 0.5 * width_m + margin_x
    top, bottom = f.start_depth_m - margin_z, f.start_depth_m + depth_m + margin_z
    n = round(density * (right - left) * (bottom - top))
    # Sorted laterally: neighbours in memory contribute to neighbouring lines.
    x_m, z_m = np.sort(rng.uniform(left, right, n)), rng.uniform(top, bottom, n)

    if travel_y_m > 0.0:
        # Planes half a beam apart: the power of the weights between them is constant to 1e-3.
        step = 0.5 * acoustics.elevation_m
        beyond = math.ceil((travel_y_m + acoustics.elevation_m) / step)
        plane_m = step * np.arange(-beyond, beyond + 1, dtype=np.float64)
    else:
        plane_m = np.zeros(1)
    amplitude = rng.standard_normal((plane_m.size, n), dtype=np.float32)
    # Speckle of unit RMS at any density: the echo of one scatterer has unit energy.
    level = 1.0 / math.sqrt(max(density * f.line_pitch_m * f.axial_step_m, 1e-30))
    gain = np.full(n, level)
    if tissue is not None:
        gain *= tissue.echo_gain(x_m, z_m)
    if texture.cloudiness_db > 0.0:
        gain *= _clouds(rng, texture, x_m, z_m)

    xs, zs, amplitudes = [x_m], [z_m], [amplitude * gain.astype(np.float32)]
    for layer in texture.specular:
        # Dense enough along the interface to add up coherently: eight per line.
        spacing = f.line_pitch_m / 8.0
        along = np.arange(left, right, spacing)
        wave = layer.wave_m * np.sin(
            2.0 * math.pi * along / layer.wave_length_m + rng.uniform(0, 2 * math.pi)
        )
        xs.append(along)
        zs.append(layer.z_m + layer.slope * along + wave)
        echo = 10.0 ** (layer.gain_db / 20.0) * _coherent_level(f, acoustics, spacing)
        rough = 1.0 + 0.2 * rng.standard_normal(along.size, dtype=np.float32)
        amplitudes.append(np.tile((echo * rough).astype(np.float32), (plane_m.size, 1)))
    x_m, z_m = np.concatenate(xs), np.concatenate(zs)
    amplitude = np.concatenate(amplitudes, axis=1)
    for shadow in texture.shadows:
        near = np.clip(0.5 + (0.5 * shadow.width_m - np.abs(x_m - shadow.x_m)) / 2e-3, 0.0, 1.0)
        below = np.clip((z_m - shadow.z_m) / 2e-3, 0.0, 1.0)
        amplitude *= (10.0 ** (-shadow.loss_db * near * below / 20.0)).astype(np.float32)
    return ScattererCloud(x_m, z_m, amplitude, plane_m, acoustics.elevation_m)


def _clouds(
    rng: np.random.Generator, texture: EchoTexture, x_m: Float64Array, z_m: Float64Array
) -> Float64Array:
    step = 0.5 * texture.cloud_size_m
    shape = (int(np.ptp(x_m) / step) + 3, int(np.ptp(z_m) / step) + 3)
    noise = gaussian_filter(rng.standard_normal(shape), 1.0, mode="wrap")
    noise *= texture.cloudiness_db / noise.std()
    where = np.stack([(x_m - x_m.min()) / step, (z_m - z_m.min()) / step])
    return 10.0 ** (map_coordinates(noise, where, order=1, mode="nearest") / 20.0)


def _coherent_level(rf_format: RfFormat, acoustics: Acoustics, spacing_m: float) -> float:
    """Return the amplitude per scatterer of a flat interface with an echo peak of 1 at mid-depth.

    A Gaussian pulse of unit energy and envelope width L samples (−6 dB) peaks at
    √(2/L)·(8 ln2/π)^¼, and a row of scatterers adds up to √(π/decay)/spacing of them, each scaled
    by (2·decay/π)^¼ as the echo model does, lengths in lines.
    """
    middle_m = rf_format.start_depth_m + 0.5 * rf_format.n_samples * rf_format.axial_step_m
    beam = beam_at(0.0, np.array([middle_m]), rf_format, acoustics)
    decay = float(beam.decay_per_m2[0]) * rf_format.line_pitch_m**2
    length = pulse_length_m(rf_format, acoustics) / rf_format.axial_step_m
    peak = math.sqrt(2.0 / length) * (8.0 * math.log(2.0) / math.pi) ** 0.25
    in_reach = math.sqrt(math.pi / decay) / (spacing_m / rf_format.line_pitch_m)
    return 1.0 / (peak * in_reach * (2.0 * decay / math.pi) ** 0.25)
