"""The pairs of the training sets: the kinds of the accuracy benchmark, and more.

In the additional pairs, tissue slides, has thin layers, rotates and leaves the frame; half of their echoes
are from plane waves, and some scatterers are replaced in the second frame.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

import numpy as np

from rtelasto.frames.rf import RfFormat
from rtelasto_engines.simulate.acoustics import Acoustics
from rtelasto_engines.simulate.artefacts import Artefacts
from rtelasto_engines.simulate.fem import TissueMotion, solve
from rtelasto_engines.simulate.ideal import random_discs, random_field
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.pair import SimulatedPair, element_size_m, simulate_pair
from rtelasto_engines.simulate.scene import (
    PUBLISHED_FORMAT,
    Scene,
    published_scene,
    random_boundary,
    random_format,
    random_plane_waves,
    random_press,
    random_rigid,
    random_scene,
    random_strain,
)
from rtelasto_engines.simulate.sliding import (
    fine_field,
    random_fine_field,
    random_slips,
)
from rtelasto_engines.simulate.tissue import (
    Inclusion,
    Tissue,
    published_tissue,
    random_tissue,
)

TrainingKind = Literal[
    "published", "near", "random", "ideal", "inclusion", "smooth", "layers", "slip", "discs"
]

_NEAR_FREQ_HZ = (4.5e6, 9.0e6)
_NEAR_PLANE_WAVE_SHARE = 0.4

_PLANE_WAVE_SHARE = 0.6
_REPLACED_SHARE, _MOST_REPLACED = 0.5, 0.15
_TURN_SHARE, _LARGEST_TURN_RAD = 0.25, math.radians(2.0)
# The part of a rotation that the stretch cannot remove, in lines at the top and the bottom.
_TURN_LEFT_LINES = 1.2
_LEAVING_SHARE, _LEAVING_M = 0.15, 2.5e-3


def inclusion_tissue(rng: np.random.Generator, *, width_m: float, depth_m: float) -> Tissue:
    """Draw one to three sharp ellipses of 1 to 7 mm, some with a different echo level."""
    inclusions = []
    for _ in range(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])):
        semi = min(math.exp(rng.uniform(math.log(1e-3), math.log(7e-3))), 0.2 * depth_m)
        inclusions.append(
            Inclusion(
                x_m=rng.uniform(-0.4, 0.4) * width_m,
                z_m=rng.uniform(0.1, 0.9) * depth_m,
                semi_x_m=semi,
                semi_z_m=semi * math.exp(rng.uniform(-0.6, 0.6)),
                angle_rad=rng.uniform(0.0, math.pi),
                young_kpa=25.0 * math.exp(rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.6)),
                echo_gain_db=float(rng.choice([0.0, rng.uniform(-9.0, 6.0)])),
            )
        )
    return Tissue(width_m=width_m, depth_m=depth_m, inclusions=tuple(inclusions))


def near_scene(rng: np.random.Generator, tissue: Tissue) -> Scene:
    """Draw a scene like the published one with another centre frequency, bandwidth, beam and noise."""
    low, high = (math.log(limit) for limit in _NEAR_FREQ_HZ)
    rf_format = dataclasses.replace(
        PUBLISHED_FORMAT, center_freq_hz=math.exp(rng.uniform(low, high))
    )
    return dataclasses.replace(
        published_scene(rng, tissue=tissue),
        format=rf_format,
        acoustics=Acoustics(
            fractional_bandwidth=rng.uniform(0.4, 0.8),
            pulse_phase_rad=rng.uniform(0.0, 2.0 * math.pi),
            transmit_f_number=rng.uniform(1.5, 4.0),
            focus_m=rng.uniform(0.01, 0.045),
            receive_f_number=rng.uniform(1.0, 2.5),
        ),
        artefacts=Artefacts(echo_snr_db=rng.uniform(15.0, 45.0)),
        plane_waves=(
            random_plane_waves(rng, rf_format) if rng.random() < _NEAR_PLANE_WAVE_SHARE else None
        ),
    )


@functools.lru_cache(maxsize=4)
def solved_tissue(seed: int, kind: TrainingKind) -> tuple[RfFormat, TissueMotion]:
    """Return a tissue solved by finite elements and a format that it fills, cached for later pairs."""
    rng = np.random.default_rng(seed)
    if kind == "published":
        return PUBLISHED_FORMAT, solve(published_tissue(rng))
    rf_format = random_format(rng)
    width_m, depth_m = _size_m(rf_format)
    boundary = None
    if kind == "random":
        tissue = random_tissue(rng, width_m=width_m, depth_m=depth_m)
        boundary = random_boundary(rng, tissue)
    else:
        tissue = inclusion_tissue(rng, width_m=width_m, depth_m=depth_m)
    return rf_format, solve(tissue, boundary, element_m=element_size_m(width_m, depth_m))


def _size_m(rf_format: RfFormat) -> tuple[float, float]:
    depth_m = rf_format.start_depth_m + rf_format.n_samples * rf_format.axial_step_m
    return rf_format.n_lines * rf_format.line_pitch_m + 4e-3, 1.02 * depth_m


def training_pair(
    rng: np.random.Generator, kind: TrainingKind, *, tissue_seed: int, truth_stride: int = 1
) -> SimulatedPair:
    """Simulate a pair of a kind; ``tissue_seed`` draws the tissue of kinds with finite elements."""
    if kind == "published":
        _, motion = solved_tissue(tissue_seed, kind)
        return simulate_pair(rng, "published", motion=motion, truth_stride=truth_stride)
    if kind == "near":
        _, motion = solved_tissue(tissue_seed, "published")
        return simulate_pair(
            rng,
            "published",
            scene=near_scene(rng, motion.tissue),
            motion=motion,
            applied_strain=-abs(random_strain(rng, 0.001, 0.03)),
            truth_stride=truth_stride,
        )
    if kind == "random":
        rf_format, motion = solved_tissue(tissue_seed, kind)
        return simulate_pair(
            rng, "random", rf_format=rf_format, motion=motion, truth_stride=truth_stride
        )
    if kind == "ideal":
        return simulate_pair(rng, "ideal", truth_stride=truth_stride)
    # Small discs are lost first where little strain meets noise.
    least, most = (0.001, 0.015) if kind == "discs" else (0.0005, 0.04)
    applied = random_strain(rng, least, most)
    tissue = None
    if kind == "inclusion":
        rf_format, motion = solved_tissue(tissue_seed, kind)
        tissue = motion.tissue
    else:
        rf_format = random_format(rng)
    width_m, depth_m = _size_m(rf_format)
    if kind == "inclusion":
        field = random_press(rng, motion, applied_strain=applied)
    elif kind == "discs":
        field = random_discs(rng, applied_strain=applied, width_m=width_m, depth_m=depth_m)
    elif kind in ("layers", "slip"):
        field = random_fine_field(rng, applied_strain=applied, width_m=width_m, depth_m=depth_m)
    else:
        field = random_field(rng, applied_strain=applied, width_m=width_m, depth_m=depth_m)
    if kind == "slip":
        if rng.random() < 0.4:
            soft = random_field(rng, applied_strain=applied, width_m=width_m, depth_m=depth_m)
            field = fine_field(width_m=width_m, depth_m=depth_m).plus(soft)
        field = random_slips(
            rng,
            field,
            sample_m=rf_format.wavelength_m / 12.8,
            line_pitch_m=rf_format.line_pitch_m,
            width_m=width_m,
            depth_m=depth_m,
        )
    field = random_rigid(rng, field, rf_format, share=0.3)
    field = _turned_or_leaving(rng, field, rf_format, depth_m)
    scene = random_scene(rng, rf_format=rf_format, tissue=tissue)
    if rng.random() < _PLANE_WAVE_SHARE:
        scene = dataclasses.replace(scene, plane_waves=random_plane_waves(rng, rf_format))
    return simulate_pair(
        rng,
        "ideal",
        scene=scene,
        field=field,
        applied_strain=applied,
        rigid_share=0.0,
        replaced_share=rng.uniform(0.0, _MOST_REPLACED) * (rng.random() < _REPLACED_SHARE),
        truth_stride=truth_stride,
    )


def _turned_or_leaving(
    rng: np.random.Generator, field: DisplacementField, rf_format: RfFormat, depth_m: float
) -> DisplacementField:
    if rng.random() < _TURN_SHARE:
        turn = rng.uniform(-_LARGEST_TURN_RAD, _LARGEST_TURN_RAD)
        most = _TURN_LEFT_LINES * rf_format.line_pitch_m / (0.5 * depth_m)
        field = field.plus_affine(axial_tilt=-turn, lateral_shear=float(np.clip(turn, -most, most)))
    if rng.random() < _LEAVING_SHARE:
        field = field.plus_affine(axial_offset_m=rng.uniform(-_LEAVING_M, _LEAVING_M))
    return field
