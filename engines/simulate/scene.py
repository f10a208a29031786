"""Scenes: formats, probes, textures and presses, fixed or random."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rtelasto.frames.rf import RfFormat
from rtelasto_engines.simulate.acoustics import Acoustics
from rtelasto_engines.simulate.artefacts import Artefacts
from rtelasto_engines.simulate.fem import Boundary, TissueMotion
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.plane_wave import PlaneWaves
from rtelasto_engines.simulate.scatterers import EchoTexture, Shadow, SpecularLayer
from rtelasto_engines.simulate.tissue import Tissue

PUBLISHED_FORMAT = RfFormat(
    n_lines=128,
    n_samples=2608,
    sampling_freq_hz=40e6,
    center_freq_hz=6.25e6,
    line_pitch_m=0.225e-3,
)
"""2608 × 128 at 40 MHz and 6.25 MHz: 50 mm deep, 29 mm across, within a tissue of 3 × 5 cm."""

L12_5_FORMAT = RfFormat(
    n_lines=128,
    n_samples=2608,
    sampling_freq_hz=31.25e6,
    center_freq_hz=7.8125e6,
    line_pitch_m=0.2969e-3,
)
"""2608 × 128 over the 38 mm of an L12-5 at four samples per wavelength: 64 mm deep."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that defines an echo frame except the motion.

    ``plane_waves`` are transmitted instead of focused beams; None for focused beams.
    """

    format: RfFormat = PUBLISHED_FORMAT
    acoustics: Acoustics = field(default_factory=Acoustics)
    texture: EchoTexture = field(default_factory=EchoTexture)
    artefacts: Artefacts = field(default_factory=Artefacts)
    tissue: Tissue | None = None
    plane_waves: PlaneWaves | None = None


def published_scene(rng: np.random.Generator, *, tissue: Tissue | None = None) -> Scene:
    """Return a scene with 10,000 scatterers, 40 MHz, 6.25 MHz, 15–40 dB echo SNR."""
    return Scene(
        tissue=tissue,
        texture=EchoTexture(count=10_000),
        artefacts=Artefacts(echo_snr_db=rng.uniform(15.0, 40.0)),
    )


def random_format(
    rng: np.random.Generator, *, n_lines: int = 128, n_samples: int = 2608
) -> RfFormat:
    """Draw a format: centre frequency 3–10 MHz, 4–8 samples per wavelength, pitch 0.15–0.35 mm."""
    center_freq_hz = math.exp(rng.uniform(math.log(3e6), math.log(10e6)))
    return RfFormat(
        n_lines=n_lines,
        n_samples=n_samples,
        sampling_freq_hz=center_freq_hz * rng.uniform(4.0, 8.0),
        center_freq_hz=center_freq_hz,
        line_pitch_m=rng.uniform(0.15e-3, 0.35e-3),
        start_depth_m=float(rng.choice([0.0, rng.uniform(0.0, 5e-3)])),
    )


def random_acoustics(rng: np.random.Generator, rf_format: RfFormat) -> Acoustics:
    """Draw a probe for that format, with up to 25 % lower frequency at the bottom of the image."""
    depth_m = rf_format.start_depth_m + rf_format.n_samples * rf_format.axial_step_m
    bandwidth = rng.uniform(0.35, 0.9)
    sigma_mhz = bandwidth * rf_format.center_freq_hz * 1e-6 / 2.355
    # A loss of b Np/MHz shifts a Gaussian spectrum of standard deviation σ down by σ²·b.
    downshift_mhz = rng.uniform(0.0, 0.25) * rf_format.center_freq_hz * 1e-6
    attenuation = downshift_mhz / sigma_mhz**2 * 8.685889638 / (2.0 * depth_m * 100.0)
    array_width_m = rng.uniform(1.0, 1.3) * rf_format.n_lines * rf_format.line_pitch_m
    return Acoustics(
        fractional_bandwidth=bandwidth,
        pulse_phase_rad=rng.uniform(0.0, 2.0 * math.pi),
        pulse_skew=rng.uniform(-1.0, 1.0),
        transmit_f_number=rng.uniform(1.5, 6.0),
        focus_m=rng.uniform(0.2, 1.0) * depth_m,
        receive_f_number=rng.uniform(1.0, 3.0),
        aperture_m=rng.uniform(0.008, 0.03),
        array_width_m=array_width_m if rng.random() < 0.6 else None,
        pedestal_db=rng.uniform(-40.0, -22.0) if rng.random() < 0.3 else None,
        elevation_m=rng.uniform(0.8e-3, 3e-3),
        attenuation_db_per_cm_mhz=min(attenuation, 1.0),
        gain_slope_db_per_cm=rng.normal(0.0, 1.5) * 0.05 / depth_m,
    )


def random_plane_waves(rng: np.random.Generator, rf_format: RfFormat) -> PlaneWaves:
    """Draw one to seven plane waves, any aperture window, and sometimes an array that ends in view."""
    n = int(rng.choice([1, 3, 5, 7], p=[0.55, 0.2, 0.15, 0.1]))
    widest = math.radians(rng.uniform(4.0, 16.0)) if n > 1 else 0.0
    width_m = rf_format.n_lines * rf_format.line_pitch_m
    return PlaneWaves(
        angles_rad=tuple(float(angle) for angle in np.linspace(-widest, widest, n)),
        receive_f_number=rng.uniform(1.0, 2.5),
        taper=float(rng.choice([0.0, rng.uniform(0.0, 1.0)])),
        array_width_m=rng.uniform(1.0, 1.3) * width_m if rng.random() < 0.7 else None,
    )


def random_texture(rng: np.random.Generator, rf_format: RfFormat) -> EchoTexture:
    """Draw 1–12 scatterers per cell, a varying echo level, and sometimes bright interfaces and shadows."""
    width_m = rf_format.n_lines * rf_format.line_pitch_m
    depth_m = rf_format.n_samples * rf_format.axial_step_m
    top_m = rf_format.start_depth_m
    specular = tuple(
        SpecularLayer(
            z_m=top_m + rng.uniform(0.03, 0.97) * depth_m,
            slope=rng.normal(0.0, 0.08),
            wave_m=rng.uniform(0.0, 0.5e-3),
            wave_length_m=rng.uniform(8e-3, 40e-3),
            gain_db=rng.uniform(3.0, 22.0),
        )
        for _ in range(rng.choice([0, 1, 2, 4], p=[0.6, 0.2, 0.1, 0.1]))
    )
    shadows = tuple(
        Shadow(
            x_m=rng.uniform(-0.5, 0.5) * width_m,
            z_m=top_m + rng.uniform(0.0, 0.8) * depth_m,
            width_m=rng.uniform(1e-3, 0.3 * width_m),
            loss_db=rng.uniform(3.0, 25.0),
        )
        for _ in range(rng.choice([0, 1, 2], p=[0.75, 0.2, 0.05]))
    )
    return EchoTexture(
        per_cell=math.exp(rng.uniform(0.0, math.log(12.0))),
        cloudiness_db=float(rng.choice([0.0, rng.uniform(0.0, 5.0)])),
        cloud_size_m=rng.uniform(1e-3, 10e-3),
        specular=specular,
        shadows=shadows,
    )


def random_artefacts(rng: np.random.Generator, rf_format: RfFormat) -> Artefacts:
    """Draw an echo SNR of 10–45 dB, and sometimes clutter, gain drift, dead lines, int16 counts."""
    dead: tuple[int, ...] = ()
    if rng.random() < 0.1:
        n_dead = int(rng.integers(1, 4))
        dead = tuple(int(line) for line in rng.integers(0, rf_format.n_lines, n_dead))
    depth_cm = rf_format.n_samples * rf_format.axial_step_m * 100.0
    return Artefacts(
        echo_snr_db=rng.uniform(10.0, 45.0),
        noise_slope_db_per_cm=float(rng.choice([0.0, rng.uniform(0.0, 12.0) / depth_cm])),
        clutter_db=rng.uniform(-30.0, 0.0) if rng.random() < 0.2 else None,
        clutter_decay_m=rng.uniform(0.04, 0.2) * depth_cm / 100.0,
        dead_lines=dead,
        dead_line_gain=rng.uniform(0.0, 0.1),
        gain_drift_db=float(rng.choice([0.0, rng.normal(0.0, 1.0)])),
        gain_slope_drift_db_per_cm=float(rng.choice([0.0, rng.normal(0.0, 0.5) / depth_cm])),
        rms_counts=(
            math.exp(rng.uniform(math.log(30.0), math.log(5000.0))) if rng.random() < 0.5 else None
        ),
    )


def random_scene(
    rng: np.random.Generator, *, rf_format: RfFormat | None = None, tissue: Tissue | None = None
) -> Scene:
    """Draw a scene with any probe, texture and faults."""
    rf_format = rf_format or random_format(rng)
    return Scene(
        format=rf_format,
        acoustics=random_acoustics(rng, rf_format),
        texture=random_texture(rng, rf_format),
        artefacts=random_artefacts(rng, rf_format),
        tissue=tissue,
    )


def random_boundary(rng: np.random.Generator, tissue: Tissue) -> Boundary:
    """Draw slipping or sticking skin, a loose or fixed bottom, and sometimes tissue wider than the probe."""
    narrow = rng.random() < 0.4
    return Boundary(
        top="bonded" if rng.random() < 0.3 else "slip",
        bottom="fixed" if rng.random() < 0.4 else "slip",
        probe_width_m=tissue.width_m if narrow else None,
        flank_m=rng.uniform(0.2, 1.5) * tissue.width_m if narrow else 0.0,
    )


def random_strain(rng: np.random.Generator, low: float = 0.0005, high: float = 0.05) -> float:
    """Draw an applied axial strain, log-uniform; four in five compress (negative), the rest release."""
    size = math.exp(rng.uniform(math.log(low), math.log(high)))
    return size if rng.random() < 0.2 else -size


def random_press(
    rng: np.random.Generator, motion: TissueMotion, *, applied_strain: float
) -> DisplacementField:
    """Draw a press of a solved tissue, with non-uniform compression as for a hand-held probe."""
    uneven = float(rng.choice([0.0, 1.0]))
    return motion.field(
        applied_strain=applied_strain,
        tilt=uneven * rng.normal(0.0, 0.2),
        bend=uneven * rng.normal(0.0, 0.1),
        shear=uneven * rng.normal(0.0, 0.2),
    )


def random_rigid(
    rng: np.random.Generator, field: DisplacementField, rf_format: RfFormat, *, share: float = 0.5
) -> DisplacementField:
    """Add an offset, a rotation and a sideways slip of the probe, each with probability ``share``.

    The limits are ±1 wavelength of axial offset, ±1 wavelength of tilt across the image, and ±4 lines and ±1
    % laterally.
    """
    wavelength_m = rf_format.wavelength_m
    width_m = rf_format.n_lines * rf_format.line_pitch_m

    def maybe(reach: float) -> float:
        return float(rng.uniform(-reach, reach) * (rng.random() < share))

    turn = maybe(wavelength_m / width_m)
    return field.plus_affine(
        axial_offset_m=maybe(wavelength_m),
        axial_tilt=turn,
        lateral_shear=-turn,
        lateral_offset_m=maybe(4.0 * rf_format.line_pitch_m),
        lateral_slope=maybe(0.01),
    )
