"""Single pairs with known motion, and one figure for the result of an engine on each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, uniform_filter

from rtelasto.cpu.stretch import Stretch
from rtelasto.cpu.total_motion import total_motion
from rtelasto.frames.rf import Float32Image, FramePair, Grid, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import POOR_CORRELATION, Elongation, StrainEngine, StretchedPair
from rtelasto.sources import open_recording
from rtelasto_engines.simulate.acoustics import Acoustics
from rtelasto_engines.simulate.artefacts import Artefacts
from rtelasto_engines.simulate.ideal import circular_inclusion
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair
from rtelasto_engines.simulate.plane_wave import PlaneWaves
from rtelasto_engines.simulate.scatterers import EchoTexture
from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT, Scene
from rtelasto_engines.simulate.sliding import (
    fine_field,
    layered_field,
    sinusoidal_strain,
    with_slip,
)

FORMAT = dataclasses.replace(PUBLISHED_FORMAT, n_lines=64)
SEED = 9_900_000
_WIDTH_M = FORMAT.n_lines * FORMAT.line_pitch_m + 4e-3
_DEPTH_M = 1.02 * FORMAT.n_samples * FORMAT.axial_step_m
# A sample of the engines' grid: λ/12.8 of depth at 6.25 MHz.
SAMPLE_M = FORMAT.wavelength_m / 12.8


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The result of an engine on a pair: total motion on its grid, and the inputs."""

    axial_displacement_m: Float32Image
    axial_strain: Float32Image
    grid: Grid
    lateral_displacement_m: Float32Image | None
    lateral_strain: Float32Image | None
    axial_strain_std: Float32Image | None
    correlation: Float32Image
    stretched: StretchedPair
    residual_m: Float32Image


class Estimator:
    """Stretch, engine, adding back and consistency, with all outputs of the engine.

    The strain is the one that the pipeline shows; its standard deviation is the engine's.
    """

    def __init__(self, engine: StrainEngine) -> None:
        self.engine = engine
        self._stretch = Stretch(engine.samples_per_wavelength)

    def __call__(self, pair: FramePair) -> Estimate:
        stretched = self._stretch(pair)
        residual = self.engine.estimate(stretched)
        motion, _, correlation = total_motion(stretched, residual, pair.pre.format.wavelength_m)
        return Estimate(
            motion.axial_displacement_m,
            motion.axial_strain,
            residual.grid,
            motion.lateral_displacement_m,
            motion.lateral_strain,
            motion.axial_strain_std,
            correlation,
            stretched,
            residual.axial_displacement_m,
        )

    def run_engine(self, pre: Float32Image, post: Float32Image) -> None:
        """Run only the engine, on frames that are used as a stretched pair."""
        n_lines, n_depths = pre.shape
        grid = Grid(n_lines, n_depths, SAMPLE_M, FORMAT.line_pitch_m)
        self.engine.estimate(StretchedPair(pre, post, grid, Elongation(), 6.4))


def simulated(
    field: DisplacementField, echoes: str, *, snr_db: float = 30.0, seed: int = SEED
) -> SimulatedPair:
    """Simulate a pair of focused or plane-wave echoes."""
    scene = Scene(
        format=FORMAT,
        acoustics=Acoustics(),
        texture=EchoTexture(per_cell=4.0),
        artefacts=Artefacts(echo_snr_db=snr_db),
        plane_waves=PlaneWaves() if echoes == "plane" else None,
    )
    return simulate_pair(
        seed,
        "ideal",
        scene=scene,
        field=field,
        rigid_share=0.0,
        out_of_plane_m=0.0,
        truth_stride=16,
    )


def warped(frame: RfFrame, field: DisplacementField) -> FramePair:
    """Return a real frame and its warp by an axial motion of the tissue: pre(z) = post(z + u)."""
    grid = frame.format.grid
    x, z = np.broadcast_arrays(grid.lateral_m[:, None], grid.depth_m[None, :])
    origin = z.copy()
    for _ in range(30):
        u, _ = field.at(x, origin)
        origin = z - u
    rows = (origin - grid.start_depth_m) / grid.axial_step_m
    samples = frame.samples.astype(np.float64)
    post = np.stack(
        [
            map_coordinates(samples[i], [rows[i]], order=5, mode="constant")
            for i in range(grid.n_lines)
        ]
    )
    return FramePair(
        dataclasses.replace(frame, samples=samples.astype(np.float32)),
        dataclasses.replace(
            frame, samples=post.astype(np.float32), stamp=FrameStamp(frame.frame_id + 1)
        ),
    )


@functools.lru_cache(maxsize=16)
def _layer_pair(period_m: float, echoes: str, recording: Path | None) -> tuple[FramePair, float]:
    """Return the pair, and the depth of its echoes."""
    width_m, depth_m = _WIDTH_M, _DEPTH_M
    frame = None
    if recording is not None:
        with open_recording(recording) as opened:
            frame = next(iter(opened))
        f = frame.format
        width_m = f.n_lines * f.line_pitch_m + 2e-3
        depth_m = f.start_depth_m + f.n_samples * f.axial_step_m + 2e-3
    strain = sinusoidal_strain(depth_m=depth_m, mean=-0.005, amplitude=0.5, period_m=period_m)
    field = layered_field(strain, width_m=width_m, depth_m=depth_m)
    if frame is not None:
        return warped(frame, field), 0.9 * depth_m
    return simulated(field, echoes).frames, depth_m


def transfer(
    estimator: Estimator, period_m: float, echoes: str, *, recordings: Sequence[Path] = ()
) -> float:
    """Return the signed amplitude of a sinusoidal axial strain of a period, relative to the true one."""
    pair, deepest_m = _layer_pair(period_m, echoes, recordings[0] if echoes == "real" else None)
    estimate = estimator(pair)
    z = estimate.grid.depth_m
    first_m, n = 0.15 * deepest_m, int(0.7 * deepest_m / period_m)
    inside = (z >= first_m) & (z < first_m + n * period_m)
    lines = slice(estimate.grid.n_lines // 5, -(estimate.grid.n_lines // 5))
    profile = estimate.axial_strain[lines][:, inside].mean(axis=0)
    wave = np.sin(2.0 * np.pi * z[inside] / period_m)
    return float((profile - profile.mean()) @ wave / (wave @ wave) / (-0.005 * 0.5))


@functools.lru_cache(maxsize=16)
def slip_pair(jump: int, echoes: str) -> FramePair:
    field = layered_field(np.full(64, -0.005), width_m=_WIDTH_M, depth_m=_DEPTH_M)
    field = with_slip(field, z_m=0.5 * _DEPTH_M, slant_rad=0.0, axial_jump_m=jump * SAMPLE_M)
    return simulated(field, echoes).frames


def slip_integral(estimator: Estimator, jump: int, echoes: str) -> float:
    """Return the excess strain over ±3 mm around a slip plane, relative to the jump; median over lines."""
    estimate = estimator(slip_pair(jump, echoes))
    near = np.abs(estimate.grid.depth_m - 0.5 * _DEPTH_M) <= 3e-3
    strain = estimate.axial_strain[8:-8][:, near] + 0.005
    moved = strain.sum(axis=1) * estimate.grid.axial_step_m
    return float(np.median(moved) / (jump * SAMPLE_M))


@functools.lru_cache(maxsize=16)
def _disc_pair(stiffness_ratio: float, snr_db: float, seed: int) -> SimulatedPair:
    field = fine_field(width_m=_WIDTH_M, depth_m=_DEPTH_M)
    x, z = field.x_m[:, None], field.z_m[None, :] - 0.02
    u, v = circular_inclusion(
        *np.broadcast_arrays(x, z), radius_m=1.5e-3, stiffness_ratio=stiffness_ratio
    )
    field = DisplacementField(
        -0.003 * (u + 0.02), -0.003 * v, field.x0_m, field.z0_m, field.dx_m, field.dz_m
    )
    return simulated(field, "focused", snr_db=snr_db, seed=seed)


def disc_contrast(estimator: Estimator, *, stiffness_ratio: float, snr_db: float) -> float:
    """Return the strain contrast of a disc of 1.5 mm radius, relative to the true one; median of 5."""
    found = []
    for seed in range(SEED, SEED + 5):
        pair = _disc_pair(stiffness_ratio, snr_db, seed)
        estimate = estimator(pair.frames)
        truth = pair.field.truth(estimate.grid)
        radius = np.hypot(estimate.grid.lateral_m[:, None], estimate.grid.depth_m[None, :] - 0.02)
        inside, around = radius < 1.05e-3, (radius > 3e-3) & (radius < 5e-3)

        def difference(
            strain: NDArray[np.float32],
            inside: NDArray[np.bool_] = inside,
            around: NDArray[np.bool_] = around,
        ) -> float:
            return float(strain[inside].mean() - strain[around].mean())

        found.append(difference(estimate.axial_strain) / difference(truth.axial_strain))
    return float(np.median(found))


def noise_strain(estimator: Estimator) -> tuple[float, float]:
    """Return the standard deviation of the strain, and the share of pixels that pictures show, for noise.

    The frames are independent.
    """
    rng = np.random.default_rng(SEED)
    frames = 1000.0 * rng.standard_normal((2, FORMAT.n_lines, FORMAT.n_samples))
    pre, post = (RfFrame(f.astype(np.float32), FORMAT, FrameStamp(k)) for k, f in enumerate(frames))
    estimate = estimator(FramePair(pre, post))
    inner = np.s_[8:-8, 24:-24]
    shown = estimate.correlation[inner] >= POOR_CORRELATION
    return float(estimate.axial_strain[inner].std()), float(shown.mean())


def edge_band_error(estimator: Estimator) -> tuple[float, float]:
    """Return the strain RMSE 1 to 3 mm inside of the top, and the share of pixels that pictures show there.

    Tissue left the frame at the top by 1.5 mm.
    """
    field = layered_field(np.full(64, -0.005), width_m=_WIDTH_M, depth_m=_DEPTH_M)
    pair = simulated(field.plus_affine(axial_offset_m=-1.5e-3), "focused")
    estimate = estimator(pair.frames)
    # Tissue from 1.5 mm has just reached the first sample.
    z = estimate.grid.depth_m - 1.5e-3 / (1.0 - 0.005)
    band = (z >= 1e-3) & (z <= 3e-3)
    strain = estimate.axial_strain[8:-8][:, band]
    shown = estimate.correlation[8:-8][:, band] >= POOR_CORRELATION
    return float(np.sqrt(np.mean((strain + 0.005) ** 2))), float(shown.mean())


@functools.lru_cache(maxsize=4)
def _turned_pair(angle_rad: float) -> SimulatedPair:
    width_m = _WIDTH_M + 2.0 * abs(angle_rad) * _DEPTH_M
    field = layered_field(np.full(64, -0.005), width_m=width_m, depth_m=1.1 * _DEPTH_M)
    return simulated(field.plus_affine(axial_tilt=-angle_rad, lateral_shear=angle_rad), "focused")


def turn_bias(estimator: Estimator, angle_rad: float) -> float:
    """Return the mean error of the strain where the probe turned about its face between the frames."""
    pair = _turned_pair(angle_rad)
    estimate = estimator(pair.frames)
    error = estimate.axial_strain - pair.field.truth(estimate.grid).axial_strain
    return float(error[12:-12, 24:-24].mean())


def inconsistency(estimate: Estimate) -> float:
    """Return the 95 % quantile of |∫ strain over 3 mm − change of displacement|, mean of 7 lines, samples."""
    step_m = estimate.grid.axial_step_m
    n = max(1, round(3e-3 / step_m))
    total = np.cumsum(estimate.axial_strain, axis=1, dtype=np.float64) * step_m
    # Trapezoidal rule: half weight at the ends.
    ends = 0.5 * step_m * (estimate.axial_strain[:, :-n] - estimate.axial_strain[:, n:])
    change = estimate.axial_displacement_m[:, n:] - estimate.axial_displacement_m[:, :-n]
    apart = uniform_filter(total[:, n:] - total[:, :-n] + ends - change, (7, 1))
    judged = np.abs(apart[8:-8, 16 : int(0.9 * apart.shape[1])])
    return float(np.quantile(judged, 0.95) / (0.25 * step_m))
