"""A simulated pair of RF frames with exact truth: the unit of every training and test set."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto_engines.simulate.artefacts import Receiver
from rtelasto_engines.simulate.echo import EchoModel
from rtelasto_engines.simulate.fem import TissueMotion, solve
from rtelasto_engines.simulate.ideal import random_field
from rtelasto_engines.simulate.motion import DisplacementField, Truth
from rtelasto_engines.simulate.plane_wave import PlaneWaveModel
from rtelasto_engines.simulate.scatterers import scatter
from rtelasto_engines.simulate.scene import (
    PUBLISHED_FORMAT,
    Scene,
    published_scene,
    random_boundary,
    random_format,
    random_press,
    random_rigid,
    random_scene,
    random_strain,
)
from rtelasto_engines.simulate.tissue import published_tissue, random_tissue

Float32Image = NDArray[np.float32]
Kind = Literal["published", "random", "ideal"]


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPair:
    """Two RF frames and the motion between them.

    ``pre`` and ``post`` are float32 (n_lines, n_samples): scaled to RMS 1 of the noise-free
    pre-compression frame, or whole int16 counts if the scene quantises. ``field`` is the motion from pre to
    post, for any point; ``truth`` the same on the RF grid, or at every ``truth_stride``-th sample.
    ``metadata`` contains every parameter in plain Python types.
    """

    pre: Float32Image
    post: Float32Image
    format: RfFormat
    truth: Truth
    field: DisplacementField
    metadata: dict[str, Any]

    @property
    def frames(self) -> FramePair:
        """The pair as the pipeline takes it, with the frame ids 0 and 1."""
        return FramePair(
            RfFrame(self.pre, self.format, FrameStamp(0)),
            RfFrame(self.post, self.format, FrameStamp(1)),
        )

    @property
    def axial_displacement_m(self) -> Float32Image:
        return self.truth.axial_displacement_m

    @property
    def axial_strain(self) -> Float32Image:
        return self.truth.axial_strain

    @property
    def lateral_displacement_m(self) -> Float32Image:
        return self.truth.lateral_displacement_m


def render_pair(
    rng: np.random.Generator,
    scene: Scene,
    field: DisplacementField,
    *,
    out_of_plane_m: float = 0.0,
    replaced_share: float = 0.0,
    truth_stride: int = 1,
    metadata: dict[str, Any] | None = None,
) -> SimulatedPair:
    """Render the RF frames of a scene before and after a motion.

    Parameters
    ----------
    rng
        Draws scatterers, clutter and noise.
    scene, field
        The scene, and its motion from the pre- to the post-compression frame.
    out_of_plane_m
        Elevational motion between the frames; it decorrelates speckle.
    replaced_share
        Share of the scatterers that are others in the second frame.
    truth_stride
        Axial step of the truth, in samples.
    """
    if truth_stride < 1:
        raise RtelastoError(f"truth_stride must be at least 1, got {truth_stride}")
    rf_format = scene.format
    model: EchoModel | PlaneWaveModel = EchoModel(rf_format, scene.acoustics)
    if scene.plane_waves is not None:
        model = PlaneWaveModel(rf_format, scene.acoustics, scene.plane_waves)
    cloud = scatter(
        rng,
        model,
        scene.texture,
        tissue=scene.tissue,
        travel_x_m=float(np.abs(field.lateral_m).max()),
        travel_z_m=float(np.abs(field.axial_m).max()),
        travel_y_m=abs(out_of_plane_m),
    )
    before = model.rf(cloud.moved(None))
    if replaced_share > 0.0:
        cloud = cloud.replaced(rng, replaced_share)
    after = model.rf(cloud.moved(field, elevation_m=out_of_plane_m))
    receiver = Receiver(rng, model, scene.artefacts, float(np.mean(before**2)))
    grid = rf_format.grid
    if truth_stride > 1:
        grid = Grid(
            grid.n_lines,
            -(-grid.n_depths // truth_stride),
            grid.axial_step_m * truth_stride,
            grid.line_pitch_m,
            grid.start_depth_m,
        )
    return SimulatedPair(
        pre=receiver.receive(rng, before),
        post=receiver.receive(rng, after, drift=1.0),
        format=rf_format,
        truth=field.truth(grid),
        field=field,
        metadata={
            **dataclasses.asdict(scene),
            "out_of_plane_m": float(out_of_plane_m),
            "replaced_share": float(replaced_share),
            "n_scatterers": int(cloud.x_m.size),
            **(metadata or {}),
        },
    )


def simulate_pair(
    rng: np.random.Generator | int,
    kind: Kind = "published",
    *,
    rf_format: RfFormat | None = None,
    scene: Scene | None = None,
    motion: TissueMotion | None = None,
    field: DisplacementField | None = None,
    applied_strain: float | None = None,
    echo_snr_db: float | None = None,
    out_of_plane_m: float | None = None,
    replaced_share: float = 0.0,
    rigid_share: float | None = None,
    truth_stride: int = 1,
) -> SimulatedPair:
    """Simulate a pair of a given kind; parameters that are None are drawn from ``rng``.

    Parameters
    ----------
    rng
        A generator, or a seed. The same seed and options give the same bytes.
    kind
        ``"published"``: 3 × 5 cm, one inclusion, 0.3–2 % strain, noise only (Wu et al., MICCAI
        2018); ``"random"``: any tissue, boundary, probe, motion and fault, 0.05–5 % strain;
        ``"ideal"``: the same with closed-form and random motion instead of finite elements, for a
        fraction of the cost of one.
    rf_format, scene
        The format, or the whole scene.
    motion
        A solved tissue, so that one solution can be used for many pairs.
    field
        The motion itself.
    applied_strain
        Axial strain, negative in compression.
    echo_snr_db, out_of_plane_m
        Override the drawn values.
    replaced_share
        Share of the scatterers that are others in the second frame.
    rigid_share
        Probability of each kind of additional rigid probe motion; by default 0 for ``"published"``, else 0.5.
    truth_stride
        Axial step of the truth, in samples.

    Raises
    ------
    RtelastoError
        If ``kind`` is unknown or a parameter is out of range.
    MissingExtraError
        If finite elements are needed and scikit-fem is not installed.
    """
    if kind not in ("published", "random", "ideal"):
        raise RtelastoError(f"kind must be published, random or ideal, got {kind!r}")
    rng = np.random.default_rng(rng)
    published = kind == "published"
    if scene is not None:
        rf_format = scene.format
    elif rf_format is None:
        rf_format = PUBLISHED_FORMAT if published else random_format(rng)
    width_m = rf_format.n_lines * rf_format.line_pitch_m
    depth_m = rf_format.start_depth_m + rf_format.n_samples * rf_format.axial_step_m
    if applied_strain is None:
        applied_strain = -abs(random_strain(rng, 0.003, 0.02)) if published else random_strain(rng)

    metadata: dict[str, Any] = {"kind": kind, "applied_strain": float(applied_strain)}
    if field is None and motion is None and kind != "ideal":
        if published:
            tissue = published_tissue(rng)
            motion = solve(tissue)
        else:
            tissue = random_tissue(rng, width_m=width_m + 4e-3, depth_m=1.02 * depth_m)
            boundary = random_boundary(rng, tissue)
            metadata["boundary"] = dataclasses.asdict(boundary)
            motion = solve(
                tissue, boundary, element_m=element_size_m(tissue.width_m, tissue.depth_m)
            )
    if field is None:
        if motion is None:
            field = random_field(
                rng, applied_strain=applied_strain, width_m=width_m + 4e-3, depth_m=1.02 * depth_m
            )
        elif published:
            field = motion.field(applied_strain=applied_strain)
        else:
            field = random_press(rng, motion, applied_strain=applied_strain)
        share = (0.0 if published else 0.5) if rigid_share is None else rigid_share
        field = random_rigid(rng, field, rf_format, share=share)
    solved = motion.tissue if motion is not None else None
    if scene is None:
        if published:
            scene = dataclasses.replace(published_scene(rng, tissue=solved), format=rf_format)
        else:
            scene = random_scene(rng, rf_format=rf_format, tissue=solved)
    if echo_snr_db is not None:
        artefacts = dataclasses.replace(scene.artefacts, echo_snr_db=echo_snr_db)
        scene = dataclasses.replace(scene, artefacts=artefacts)
    if out_of_plane_m is None:
        out_of_plane_m = 0.0
        if not published and rng.random() < 0.5:
            out_of_plane_m = float(rng.uniform(0.0, 0.4) * scene.acoustics.elevation_m)
    return render_pair(
        rng,
        scene,
        field,
        out_of_plane_m=out_of_plane_m,
        replaced_share=replaced_share,
        truth_stride=truth_stride,
        metadata=metadata,
    )


def element_size_m(width_m: float, depth_m: float) -> float:
    """Finite elements for a solution in about a second: some 4000 of them, at least 0.3 mm."""
    return max(0.3e-3, float(np.sqrt(width_m * depth_m / 4000.0)))
