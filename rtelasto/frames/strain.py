"""Strain: the motion of a pair, global and residual, and the frame that is published.

Axes and signs as in `rtelasto.frames.rf`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import Float32Image, Grid

DEFAULT_ENGINE = "cnn-lateral"
"""Engine of all commands and functions that are not told another."""

POOR_CORRELATION = 0.7
"""Correlation below which a pixel is not to be relied on: pictures do not show it by default."""


@dataclass(frozen=True, slots=True)
class Elongation:
    """The global part of the motion between two frames, linear in depth and across the lines.

    Axial displacement u(x, z) = axial_offset_m + axial_tilt·x + (axial_slope + axial_slope_tilt_per_m·x)·z,
    lateral displacement v(x, z) = lateral_offset_m + lateral_slope·x + lateral_shear·z, so that
    pre(x, z) = post(x + v, z + u), with x from the image centre and z from the transducer face, in m. If the
    probe turns by a small angle θ about the middle of its face, axial_tilt = −θ and lateral_shear = θ.
    """

    axial_offset_m: float = 0.0
    axial_tilt: float = 0.0
    axial_slope: float = 0.0
    axial_slope_tilt_per_m: float = 0.0
    lateral_offset_m: float = 0.0
    lateral_slope: float = 0.0
    lateral_shear: float = 0.0

    def axial_displacement_m(
        self, lateral_m: NDArray[np.floating], depth_m: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """u(x, z) for broadcastable x and z, in m."""
        return (
            self.axial_offset_m
            + self.axial_tilt * lateral_m
            + self.axial_strain(lateral_m) * depth_m
        )

    def axial_strain(self, lateral_m: NDArray[np.floating]) -> NDArray[np.floating]:
        """∂u/∂z at x, dimensionless; it does not depend on depth."""
        return self.axial_slope + self.axial_slope_tilt_per_m * lateral_m

    def lateral_displacement_m(
        self, lateral_m: NDArray[np.floating], depth_m: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """v(x, z) for broadcastable x and z, in m."""
        return self.lateral_offset_m + self.lateral_slope * lateral_m + self.lateral_shear * depth_m


@dataclass(frozen=True, slots=True, eq=False)
class StretchedPair:
    """A pair on the engine's grid, the post-compression frame warped by the global elongation.

    ``pre`` and ``post`` are float32 (n_lines, n_depths) of ``grid``, free of offset and hum, 0 where
    nothing was recorded, scaled together so that their joint RMS is 1. What is left between them is the
    residual r: pre(z) = post(z + r(z)).
    ``samples_per_wavelength`` is that of the grid.
    """

    pre: Float32Image
    post: Float32Image
    grid: Grid
    elongation: Elongation
    samples_per_wavelength: float


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredMotion:
    """What a network of two stages measured in a stretched pair, from which its second stage computes strain.

    ``displacement`` (in samples of ``sample_m``), ``lateral`` (in lines) and ``precision`` (1 / variance of
    the displacement, up to a constant factor) are float32 (n_lines, n_depths) of ``grid``. ``residual``,
    float32 (2, n_lines, n_depths), is the complex correlation of each pixel after alignment by the
    displacement.
    """

    displacement: Float32Image
    lateral: Float32Image
    precision: Float32Image
    residual: NDArray[np.float32]
    grid: Grid
    sample_m: float


@dataclass(frozen=True, slots=True, eq=False)
class ResidualMotion:
    """What an engine returns: the motion left in a stretched pair, on the engine's output grid.

    All images are float32 (n_lines, n_depths) of ``grid``. ``lateral_displacement_m`` (towards higher line
    numbers), ``lateral_strain`` = ∂v/∂x and ``axial_strain_std`` (one standard deviation of the axial strain)
    are None where the engine does not give them, and so is ``measured``.
    """

    axial_displacement_m: Float32Image
    axial_strain: Float32Image
    grid: Grid
    lateral_displacement_m: Float32Image | None = None
    lateral_strain: Float32Image | None = None
    axial_strain_std: Float32Image | None = None
    measured: MeasuredMotion | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TotalMotion:
    """The motion between two frames at pre-compression points: the fields of `StrainFrame` of these names."""

    axial_displacement_m: Float32Image
    axial_strain: Float32Image
    lateral_displacement_m: Float32Image | None
    lateral_strain: Float32Image | None
    axial_strain_std: Float32Image | None


@runtime_checkable
class StrainEngine(Protocol):
    """Turns a stretched pair into the residual motion left in it.

    ``samples_per_wavelength`` is the axial sampling of the grid that the engine wants its pairs on,
    or None where any grid will do.
    """

    name: str
    samples_per_wavelength: float | None

    def estimate(self, pair: StretchedPair) -> ResidualMotion: ...


class ReadOnlyCounts(dict[str, int]):
    """Numbers by name that cannot be changed; otherwise a dict, for all that copies, sends or prints one.

    Raises
    ------
    TypeError
        On every attempt to change it.
    """

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the counts of a strain frame are read-only: use StrainFrame.replace")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[ReadOnlyCounts], tuple[dict[str, int]]]:
        return type(self), (dict(self),)


@dataclass(frozen=True, slots=True)
class PersistenceState:
    """What an average over time rests on.

    Attributes
    ----------
    seconds
        From the oldest pair that still counts to the newest that entered, s.
    frames
        Pairs in it: as many of equal weight as would average as well.
    presses
        Presses that they come from.
    age_s
        From the newest pair that entered to this frame, s; NaN where none has entered yet.
    """

    seconds: float
    frames: int
    presses: int
    age_s: float


@dataclass(frozen=True, slots=True, eq=False)
class StrainFrame:
    """Axial strain and displacement of one pair.

    All images are float32 (n_lines, n_depths) of ``grid``: ``axial_strain`` = ∂u/∂z (dimensionless,
    compression negative), which follows the displacement where the engine's strain contradicts it,
    ``axial_displacement_m`` = u at pre-compression points, positive away from the
    probe, with pre(z) = post(z + u), and ``correlation`` (0…1), the correlation of the two frames after
    warping by u, lowered where strain and displacement contradict each other and 0 where tissue left the
    image (`rtelasto.cpu.consistency`). ``quality`` is the median of ``correlation`` and
    ``applied_strain`` the median of ``axial_strain``, over every pixel that is a number and lies in the
    field of view. Dead lines lie in it: their correlation is 0 and counts, so that quality falls to 0
    when half of the lines are dead. Where the pre-compression frame is NaN is outside; correlation is 0
    there and does not count. ``poor_share`` is the share of these pixels whose correlation is below
    `POOR_CORRELATION`: a median does not see a small part of the image that failed.

    ``stage_ns`` holds the time spent in each stage, ``drops`` the counters of everything lost so far, by
    cause; both are read-only copies of what they are made from. ``clock`` names the clock of
    ``acquired_ns``. ``age_ns`` is the time from acquisition
    to publishing, None where the scanner's clock cannot tell it, and ``stale`` says that it was published
    too old to be called live. ``bmode``, where it was asked for, is the brightness of the pre-compression
    frame at the same pixels, uint8 in steps of 0.25 dB over 60 dB.

    Where the engine gives them: ``lateral_displacement_m`` = v, positive towards higher line numbers, with
    pre(x, z) = post(x + v, z + u), ``lateral_strain`` = ∂v/∂x (dimensionless, positive where tissue widens),
    and ``axial_strain_std``, one standard deviation of ``axial_strain``; None otherwise.

    With persistence, ``relative_strain`` is the strain over the applied strain, averaged over time and
    carried along with the tissue (1 = average tissue, NaN where unknown), ``relative_strain_std`` one
    standard deviation of it, at the same pixels and points as the other images, and ``persistence`` says
    what the average rests on. Where the frame was made in this process, ``elongation`` is the global part of
    the motion, ``post_warp_correlation`` is ``correlation`` before it was lowered, and ``measured`` what an
    engine of two stages measured before it computed strain.

    With accumulation, ``accumulated_axial_displacement_m``, ``accumulated_axial_strain`` and, where the
    engine gives lateral motion, ``accumulated_lateral_displacement_m`` and ``accumulated_lateral_strain`` are
    the motion from the reference frame, whose ``frame_id`` is ``accumulated_from``, to the post-compression
    frame, at points of the reference frame; NaN where it is not known.
    """

    axial_strain: Float32Image
    axial_displacement_m: Float32Image
    correlation: Float32Image
    grid: Grid
    frame_ids: tuple[int, int] = (0, 0)
    acquired_ns: int = 0
    published_ns: int = 0
    age_ns: int | None = None
    stale: bool = False
    stream: str = ""
    clock: str = "unknown"
    engine: str = ""
    quality: float = math.nan
    applied_strain: float = math.nan
    poor_share: float = math.nan
    stage_ns: Mapping[str, int] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    bmode: NDArray[np.uint8] | None = None
    lateral_displacement_m: Float32Image | None = None
    lateral_strain: Float32Image | None = None
    axial_strain_std: Float32Image | None = None
    relative_strain: Float32Image | None = None
    relative_strain_std: Float32Image | None = None
    persistence: PersistenceState | None = None
    elongation: Elongation | None = None
    post_warp_correlation: Float32Image | None = None
    measured: MeasuredMotion | None = None
    accumulated_axial_displacement_m: Float32Image | None = None
    accumulated_axial_strain: Float32Image | None = None
    accumulated_lateral_displacement_m: Float32Image | None = None
    accumulated_lateral_strain: Float32Image | None = None
    accumulated_from: int | None = None

    def __post_init__(self) -> None:
        for name in ("stage_ns", "drops"):
            object.__setattr__(self, name, ReadOnlyCounts(getattr(self, name)))

    @property
    def displacement_correlation(self) -> Float32Image:
        """How reliable the displacement is: ``post_warp_correlation``, or ``correlation`` without it.

        Strain that is wrong does not make the displacement beside it wrong.
        """
        lowered, matched = self.correlation, self.post_warp_correlation
        return lowered if matched is None else matched

    def replace(self, **changes: object) -> StrainFrame:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def compose(elongation: Elongation, residual: ResidualMotion) -> TotalMotion:
    """Total motion at pre-compression points, float32 (n_lines, n_depths) of ``residual.grid``.

    The post-compression frame was read at x + v_g, z + u_g before the engine saw it, so that
    pre(x, z) = post(x + w + v_g(x + w, z + r), z + r + u_g(x, z + r)): the global part is taken where the
    residual motion r and w leads. Hence u = r + u_g(x, z + r) with ∂u/∂z = r' + u_g' (1 + r'), and likewise
    v = w + v_g(x + w, z + r) with ∂v/∂x = w' + v_g' (1 + w'). That u_g is taken at x, not at x + w, leaves
    out its tilt times w, far below a sample; ∂v/∂x leaves out the shear times ∂r/∂x, far below 0.1 %.

    Parameters
    ----------
    elongation
        The global motion that was taken out: u_g and v_g.
    residual
        The motion that an engine found in the stretched pair, r along and w across the lines, its slopes and
        the standard deviation of r'.
    """
    grid = residual.grid
    lateral_m = grid.lateral_m[:, None]
    global_strain = np.asarray(elongation.axial_strain(lateral_m), dtype=np.float32)
    stretch = np.float32(1.0) + global_strain
    at_rest = np.asarray(elongation.axial_displacement_m(lateral_m, grid.depth_m), dtype=np.float32)
    slope = np.float32(elongation.lateral_slope)
    widening = np.float32(1.0) + slope
    w, w_slope, std = (
        residual.lateral_displacement_m,
        residual.lateral_strain,
        residual.axial_strain_std,
    )
    lateral_displacement_m = None
    if w is not None:
        partner_m = grid.depth_m + residual.axial_displacement_m
        aside = elongation.lateral_displacement_m(lateral_m, partner_m).astype(np.float32)
        lateral_displacement_m = aside + widening * w
    return TotalMotion(
        axial_displacement_m=at_rest + stretch * residual.axial_displacement_m,
        axial_strain=residual.axial_strain * stretch + global_strain,
        lateral_displacement_m=lateral_displacement_m,
        lateral_strain=None if w_slope is None else w_slope * widening + slope,
        axial_strain_std=None if std is None else std * stretch,
    )
