"""A simulated recording: hand-held compression over time, frame by frame, with exact truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto_engines.simulate.artefacts import Artefacts, Receiver
from rtelasto_engines.simulate.echo import EchoModel
from rtelasto_engines.simulate.fem import solve
from rtelasto_engines.simulate.hand import HandMotion, HandPath, hand_path
from rtelasto_engines.simulate.ideal import random_field
from rtelasto_engines.simulate.motion import DisplacementField, Truth, truth_between
from rtelasto_engines.simulate.pair import element_size_m
from rtelasto_engines.simulate.scatterers import EchoTexture, ScattererCloud, scatter
from rtelasto_engines.simulate.scene import L12_5_FORMAT, Scene
from rtelasto_engines.simulate.tissue import Inclusion, Layer, Tissue


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSequence:
    """A recording that is rendered frame by frame, in any order, always with the same bytes.

    ``path`` is the motion of the hand, ``time_s`` the acquisition time of each frame; ``push`` and ``tilt``
    are the unit motions that the path scales.
    """

    scene: Scene
    hand: HandMotion
    path: HandPath
    time_s: np.ndarray
    push: DisplacementField
    tilt: DisplacementField
    model: EchoModel
    cloud: ScattererCloud
    receiver: Receiver
    seed: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.time_s.size)

    @property
    def format(self) -> RfFormat:
        return self.scene.format

    @property
    def metadata(self) -> dict[str, Any]:
        """Every parameter in plain Python types."""
        return {
            **dataclasses.asdict(self.scene),
            "hand": dataclasses.asdict(self.hand),
            "n_frames": len(self),
            "frame_rate_hz": float((len(self) - 1) / self.time_s[-1]) if len(self) > 1 else 0.0,
            "n_scatterers": int(self.cloud.x_m.size),
        }

    def field(self, index: int) -> DisplacementField:
        """Return the motion of the tissue from frame 0 to a frame."""
        return (
            self.push.scaled(float(self.path.strain[index]))
            .plus(self.tilt.scaled(float(self.path.tilt_strain[index])))
            .plus_affine(lateral_offset_m=float(self.path.slip_m[index]))
        )

    def frame(self, index: int) -> RfFrame:
        """Render one frame: int16 if the scene quantises, otherwise float32; frame_id is the index."""
        seen = self.cloud.moved(
            self.field(index), elevation_m=float(self.path.out_of_plane_m[index])
        )
        rng = np.random.default_rng([*self.seed, index])
        samples = self.receiver.receive(
            rng, self.model.rf(seen), drift=index / max(1, len(self) - 1)
        )
        return RfFrame(
            samples=samples
            if self.scene.artefacts.rms_counts is None
            else samples.astype(np.int16),
            format=self.format,
            stamp=FrameStamp(frame_id=index, acquired_ns=round(float(self.time_s[index]) * 1e9)),
        )

    def iter_frames(self) -> Iterator[RfFrame]:
        """Yield all frames in order, with one at a time in memory."""
        for index in range(len(self)):
            yield self.frame(index)

    def truth(self, post: int, pre: int = 0, *, grid: Grid | None = None) -> Truth:
        """Return the exact motion from frame ``pre`` to ``post`` at points of ``pre``, RF grid or other."""
        grid = grid or self.format.grid
        if pre == 0:
            return self.field(post).truth(grid)
        return truth_between(self.field(pre), self.field(post), grid)


def simulate_sequence(
    seed: int,
    *,
    n_frames: int = 100,
    frame_rate_hz: float = 50.0,
    rf_format: RfFormat = L12_5_FORMAT,
    tissue: Tissue | None = None,
    scene: Scene | None = None,
    hand: HandMotion | None = None,
    motion: Literal["fem", "ideal"] = "fem",
) -> SimulatedSequence:
    """Simulate a hand-held palpation, with int16 frames as from a scanner.

    Parameters
    ----------
    seed
        The same seed and options give the same bytes.
    n_frames, frame_rate_hz
        Number of frames, and frames per second.
    rf_format
        By default 2608 × 128 of an L12-5.
    tissue
        By default a layered tissue with a stiff and a soft lesion.
    scene
        Format, tissue, probe, texture and artefacts together; overrides the two parameters above.
    hand
        The motion of the hand.
    motion
        ``"fem"``: finite elements (scikit-fem); ``"ideal"``: a random motion in closed form, which does not
        depend on the tissue, for machines without scikit-fem.

    Raises
    ------
    RtelastoError
        If a parameter is out of range.
    MissingExtraError
        If ``motion`` is ``"fem"`` and scikit-fem is not installed.
    """
    if n_frames < 1:
        raise RtelastoError(f"n_frames must be at least 1, got {n_frames}")
    if not 0.1 <= frame_rate_hz <= 10_000:
        raise RtelastoError(f"frame_rate_hz must lie in 0.1…10000 Hz, got {frame_rate_hz:g}")
    if motion not in ("fem", "ideal"):
        raise RtelastoError(f"motion must be fem or ideal, got {motion!r}")
    hand = hand or HandMotion()
    rng = np.random.default_rng(seed)
    f = scene.format if scene is not None else rf_format
    width_m = f.n_lines * f.line_pitch_m + 4e-3
    depth_m = 1.02 * (f.start_depth_m + f.n_samples * f.axial_step_m)
    if scene is None:
        tissue = tissue or demo_tissue(width_m=width_m, depth_m=depth_m)
        scene = Scene(
            format=f,
            tissue=tissue,
            texture=EchoTexture(per_cell=3.0, cloudiness_db=1.5),
            artefacts=Artefacts(echo_snr_db=30.0, rms_counts=1500.0),
        )
    path = hand_path(rng, hand, np.arange(n_frames) / frame_rate_hz)
    if motion == "fem":
        solid = scene.tissue or demo_tissue(width_m=width_m, depth_m=depth_m)
        solved = solve(solid, element_m=element_size_m(solid.width_m, solid.depth_m))
        push, tilt = solved.push, solved.tilt
    else:
        push = random_field(rng, applied_strain=1.0, width_m=width_m, depth_m=depth_m)
        # An edge that is pressed harder is strained more: the same motion with a lateral weight.
        weight = 2.0 * push.x_m[:, None] / width_m
        tilt = dataclasses.replace(
            push, axial_m=weight * push.axial_m, lateral_m=0.0 * push.lateral_m
        )
    furthest = push.scaled(float(np.abs(path.strain).max()))
    rocked = tilt.scaled(float(np.abs(path.tilt_strain).max()))
    model = EchoModel(f, scene.acoustics)
    cloud = scatter(
        rng,
        model,
        scene.texture,
        tissue=scene.tissue,
        travel_x_m=float(
            np.abs(furthest.lateral_m).max()
            + np.abs(rocked.lateral_m).max()
            + np.abs(path.slip_m).max()
        ),
        travel_z_m=float(np.abs(furthest.axial_m).max() + np.abs(rocked.axial_m).max()),
        travel_y_m=float(np.abs(path.out_of_plane_m).max()),
    )
    first = model.rf(cloud.moved(None))
    return SimulatedSequence(
        scene=scene,
        hand=hand,
        path=path,
        time_s=np.arange(n_frames) / frame_rate_hz,
        push=push,
        tilt=tilt,
        model=model,
        cloud=cloud,
        receiver=Receiver(rng, model, scene.artefacts, float(np.mean(first**2))),
        seed=(seed, 1),
    )


def demo_tissue(*, width_m: float, depth_m: float) -> Tissue:
    """Return skin, fat and muscle with a stiff round lesion and a softer, flat one."""
    return Tissue(
        width_m=width_m,
        depth_m=depth_m,
        background_kpa=15.0,
        layers=(
            Layer(top_m=0.13 * depth_m, young_kpa=25.0, slope=0.04, edge_m=1e-3, echo_gain_db=-3.0),
            Layer(top_m=0.75 * depth_m, young_kpa=40.0, slope=-0.06, edge_m=1e-3, echo_gain_db=2.0),
        ),
        inclusions=(
            Inclusion(
                x_m=-0.15 * width_m,
                z_m=0.36 * depth_m,
                semi_x_m=0.14 * width_m,
                semi_z_m=0.14 * width_m,
                young_kpa=80.0,
                edge_m=0.5e-3,
                echo_gain_db=-4.0,
            ),
            Inclusion(
                x_m=0.2 * width_m,
                z_m=0.58 * depth_m,
                semi_x_m=0.15 * width_m,
                semi_z_m=0.08 * width_m,
                angle_rad=0.3,
                young_kpa=8.0,
                edge_m=0.5e-3,
            ),
        ),
    )
