"""Accumulated motion: carried along with the tissue, held by direct pairs, kept in files and pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from residual_pairs import rms
from speckle import speckle_pair

import rtelasto
from rtelasto.accuracy.gates.images import slip_pair
from rtelasto.cpu.averaging.measurement import node_means
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation, StrainFrame
from rtelasto.offline.process import process_recording
from rtelasto.pipeline.accumulation import Accumulation
from rtelasto.pipeline.engines import open_engine
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sources import open_recording
from rtelasto.sources.strain_file import StrainFile
from rtelasto_engines.simulate.motion import DisplacementField, truth_between

FORMAT = RfFormat(
    n_lines=48, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
)
GRID = Grid(48, 300, 4 * FORMAT.axial_step_m, FORMAT.line_pitch_m)
INNER = np.s_[6:-6, 20:-20]
ACCUMULATED = (
    "accumulated_axial_displacement_m",
    "accumulated_axial_strain",
    "accumulated_lateral_displacement_m",
    "accumulated_lateral_strain",
)


class Tissue:
    """Tissue in a press: frames without echoes, and what a perfect engine measures between any two."""

    def __init__(self, *, lateral: bool = True, bias_m: float = 0.0) -> None:
        field = DisplacementField.zero(width_m=20e-3, depth_m=30e-3)
        bump = np.exp(-((field.x_m[:, None] / 3e-3) ** 2) - ((field.z_m - 11e-3) / 4e-3) ** 2)
        self.bulge = dataclasses.replace(field, axial_m=3e-4 * bump, lateral_m=2e-4 * bump)
        self.lateral, self.bias_m = lateral, bias_m
        self.directs: list[tuple[int, int]] = []
        self.agreement = 0.95

    def field(self, k: int) -> DisplacementField:
        pressed = 0.5 - 0.5 * np.cos(2.0 * np.pi * k / 20.0)
        return self.bulge.scaled(pressed).plus_affine(
            axial_slope=-0.02 * pressed,
            lateral_offset_m=0.4e-3 * pressed,
            lateral_slope=0.01 * pressed,
        )

    def strain(self, pre: int, post: int, *, correlation: float = 0.995) -> StrainFrame:
        truth = truth_between(self.field(pre), self.field(post), GRID)
        v = truth.lateral_displacement_m
        slope = np.gradient(v, GRID.line_pitch_m, axis=0).astype(np.float32)
        return StrainFrame(
            axial_strain=truth.axial_strain,
            axial_displacement_m=truth.axial_displacement_m + np.float32(self.bias_m),
            correlation=np.full(GRID.shape, correlation, np.float32),
            grid=GRID,
            frame_ids=(pre, post),
            engine="perfect",
            lateral_displacement_m=v if self.lateral else None,
            lateral_strain=slope if self.lateral else None,
            elongation=Elongation(lateral_offset_m=float(np.median(v))),
        )

    def direct(self, pair: FramePair) -> StrainFrame:
        ids = pair.pre.frame_id, pair.post.frame_id
        self.directs.append(ids)
        found = self.strain(*ids, correlation=self.agreement)
        unbiased_m = found.axial_displacement_m - np.float32(self.bias_m)
        return found.replace(axial_displacement_m=unbiased_m)


def frame(k: int) -> RfFrame:
    return RfFrame(np.zeros((48, 1200), np.int16), FORMAT, FrameStamp(frame_id=k))


def run(
    tissue: Tissue, pairs: list[tuple[int, int]], reference: int | None = None
) -> list[StrainFrame]:
    accumulation = Accumulation(tissue.direct, history=16, reference=reference)
    frames = {k: frame(k) for pair in pairs for k in pair}
    return [
        accumulation(tissue.strain(pre, post), FramePair(frames[pre], frames[post]))
        for pre, post in pairs
    ]


def errors(tissue: Tissue, found: StrainFrame, reference: int = 0) -> list[float]:
    """RMS errors inside: axial in samples, axial strain in %, lateral in lines."""
    truth = truth_between(tissue.field(reference), tissue.field(found.frame_ids[1]), GRID)
    wanted = truth.axial_displacement_m, truth.axial_strain, truth.lateral_displacement_m
    units = FORMAT.axial_step_m, 0.01, FORMAT.line_pitch_m
    images = (getattr(found, name) for name in ACCUMULATED[:3])
    return [
        rms((image - true)[INNER] / unit)
        for image, true, unit in zip(images, wanted, units, strict=True)
    ]


@pytest.mark.parametrize("lag", [1, 4])
def test_motion_adds_up_at_the_points_of_the_first_frame(lag: int) -> None:
    tissue = Tissue()
    tissue.agreement = 0.0
    shown = run(tissue, [(max(0, k - lag), k) for k in range(1, 21)])
    for found in (shown[9], shown[19]):
        assert found.accumulated_from == 0
        axial, strain, lateral = errors(tissue, found)
        assert axial < 0.02
        assert strain < 0.03
        assert lateral < 1e-3
    # Half-way down, tissue is shorter and wider than in the reference; released, as it was.
    assert np.median(shown[9].accumulated_axial_strain[INNER]) == pytest.approx(-0.02, rel=0.1)
    assert np.median(shown[9].accumulated_lateral_strain[INNER]) == pytest.approx(0.01, rel=0.2)
    assert rms(shown[19].accumulated_axial_displacement_m[INNER]) < 0.02 * FORMAT.axial_step_m


def test_direct_pairs_hold_the_drift_where_they_correlate() -> None:
    pairs = [(k - 1, k) for k in range(1, 21)]
    drift = {}
    for agreement in (0.0, 0.95):
        tissue = Tissue(bias_m=0.05 * FORMAT.axial_step_m)
        tissue.agreement = agreement
        drift[agreement] = errors(tissue, run(tissue, pairs)[-1])[0]
        # The first pair is a direct one itself.
        assert tissue.directs == [(0, k) for k in range(2, 21)]
    assert drift[0.0] == pytest.approx(20 * 0.05, rel=0.05)
    assert drift[0.95] < 0.3 * drift[0.0]


def test_without_lateral_motion_tissue_is_carried_by_the_shift_of_all_of_it() -> None:
    tissue = Tissue(lateral=False)
    tissue.agreement = 0.0
    found = run(tissue, [(k - 1, k) for k in range(1, 11)])[-1]
    assert found.accumulated_lateral_displacement_m is found.accumulated_lateral_strain is None
    truth = truth_between(tissue.field(0), tissue.field(10), GRID)
    error = found.accumulated_axial_displacement_m - truth.axial_displacement_m
    assert rms(error[INNER]) < 0.1 * FORMAT.axial_step_m


def test_a_pair_that_nothing_leads_to_is_known_by_its_direct_pair_alone() -> None:
    tissue = Tissue()
    last = run(tissue, [(0, 1), (5, 6)])[-1]
    assert errors(tissue, last)[0] < 0.02
    tissue.agreement = 0.5
    assert np.isnan(run(tissue, [(0, 1), (5, 6)])[-1].accumulated_axial_strain).all()


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_tissue_that_left_the_image_is_unknown_until_a_direct_pair_sees_it(
    agreement: float,
) -> None:
    def moved(lines: float, correlation: float) -> StrainFrame:
        zero = np.zeros(GRID.shape, np.float32)
        v = zero + np.float32(lines * FORMAT.line_pitch_m)
        return StrainFrame(
            zero, zero, zero + correlation, GRID, lateral_displacement_m=v, lateral_strain=zero
        )

    accumulation = Accumulation(lambda pair: moved(0.0, agreement), history=4)
    frames = [frame(k) for k in range(3)]
    away = accumulation(moved(5.0, 1.0), FramePair(frames[0], frames[1]))
    back = accumulation(moved(-5.0, 1.0), FramePair(frames[1], frames[2]))
    assert not np.isnan(away.accumulated_axial_strain).any()
    unknown = np.isnan(back.accumulated_axial_strain)
    assert not unknown[:-6].any()
    assert unknown[-4:].all() == (agreement == 0.0)


def test_another_reference_is_where_it_begins() -> None:
    tissue = Tissue()
    shown = run(tissue, [(k - 1, k) for k in range(1, 16)], reference=8)
    assert all(np.isnan(found.accumulated_axial_strain).all() for found in shown[:7])
    assert not shown[7].accumulated_axial_displacement_m.any()
    assert shown[-1].accumulated_from == 8
    assert errors(tissue, shown[-1], reference=8)[0] < 0.02


def sliding(n_frames: int) -> list[np.ndarray]:
    """Speckle that moves by one sample a frame away from the probe and by half a line to the right."""
    wide = dataclasses.replace(FORMAT, n_lines=64, n_samples=1300)
    echoes = speckle_pair(np.random.default_rng(8), rf_format=wide).pre.samples
    return [echoes[12 - k // 2 : 60 - k // 2, 50 - k : 1250 - k].copy() for k in range(n_frames)]


def test_a_stream_accumulates_from_its_first_frame() -> None:
    frames = rtelasto.stream(
        sliding(7), FORMAT, engine="ncc", pair="consecutive", persistence_s=0.0, accumulate=True
    )
    *_, last = frames
    assert last.accumulated_from == 0
    moved = last.accumulated_axial_displacement_m / FORMAT.axial_step_m
    assert np.nanmedian(moved) == pytest.approx(6.0, abs=0.02)
    across = last.accumulated_lateral_displacement_m / FORMAT.line_pitch_m
    assert np.nanmedian(across) == pytest.approx(3.0, abs=0.05)
    assert "accumulation" in last.stage_ns


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "sliding.h5"
    with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
        for k, samples in enumerate(sliding(5)):
            writer.write(RfFrame(samples, FORMAT, FrameStamp(frame_id=10 + k)))
    return path


SETTINGS = EstimateSettings(engine="ncc", pair="consecutive")


@pytest.mark.slow
def test_a_recording_is_accumulated_into_its_strain_file_and_picture(
    recording: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the plot extra is not installed")
    out, png = tmp_path / "strain.h5", tmp_path / "a.png"
    with open_recording(recording) as opened:
        process_recording(
            opened,
            out,
            SETTINGS,
            png=png,
            show="accumulated-axial-displacement",
            accumulate=True,
            reference=11,
        )
    assert png.stat().st_size > 10_000
    with StrainFile(out) as strain:
        first, *_, last = strain
    assert [found.accumulated_from for found in (first, last)] == [11, 11]
    assert not first.accumulated_axial_displacement_m.any()
    moved = np.nanmedian(last.accumulated_axial_displacement_m)
    assert moved == pytest.approx(3.0 * FORMAT.axial_step_m, rel=0.02)


def test_a_reference_that_cannot_be_is_refused(recording: Path, tmp_path: Path) -> None:
    with open_recording(recording) as opened:
        with pytest.raises(RtelastoError, match="there is no reference frame 99"):
            process_recording(opened, tmp_path / "a.h5", SETTINGS, accumulate=True, reference=99)
        with pytest.raises(RtelastoError, match="reference 11 needs accumulate"):
            process_recording(opened, tmp_path / "a.h5", SETTINGS, reference=11)
    with pytest.raises(RtelastoError, match="reference 3 needs accumulate"):
        rtelasto.stream([], FORMAT, reference=3)
    assert [path.name for path in tmp_path.iterdir()] == ["sliding.h5"]


def test_accumulated_motion_is_drawn_over_the_reference_and_needs_accumulation() -> None:
    pytest.importorskip("matplotlib", reason="the plot extra is not installed")
    from rtelasto.sinks.strain_layers import layer_of

    tissue = Tissue()
    found = run(tissue, [(3, 4), (4, 5)])[-1]
    layer = layer_of(found, "accumulated-lateral-strain", 0.7)
    assert layer.at_frame(found) == 3
    values = layer.values(found)
    assert values.count() == GRID.n_lines * GRID.n_depths
    assert layer.title(found, values) == "accumulated lateral strain, frames 3 → 5"
    with pytest.raises(RtelastoError, match="show: accumulated-axial-strain needs accumulate"):
        layer_of(tissue.strain(0, 1), "accumulated-axial-strain", 0.7)
    axial_only = run(Tissue(lateral=False), [(0, 1)])[0]
    with pytest.raises(RtelastoError, match="engine perfect gives no accumulated lateral strain"):
        layer_of(axial_only, "accumulated-lateral-strain", 0.7)


def test_a_strain_file_without_accumulation_has_none(tmp_path: Path) -> None:
    tissue = Tissue()
    with StrainWriter(tmp_path / "a.h5", FORMAT) as writer:
        writer.write(tissue.strain(0, 1))
    with StrainFile(tmp_path / "a.h5") as strain:
        (found,) = strain
    assert found.accumulated_from is None
    assert all(getattr(found, name) is None for name in ACCUMULATED)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["cnn", "cnn2", "ncc", "am"])
def test_over_two_presses_of_40_frames_the_error_stays_below_3_percent_of_the_peak(
    engine: str,
) -> None:
    sequences = pytest.importorskip(
        "rtelasto_engines.simulate.sequence", reason="the sim extra is absent"
    )
    pytest.importorskip("skfem", reason="the sim extra is absent")
    sequence = sequences.simulate_sequence(
        5,
        n_frames=40,
        frame_rate_hz=20.0,
        rf_format=dataclasses.replace(FORMAT, n_lines=64, n_samples=1600),
        hand=sequences.HandMotion(peak_strain=0.015),
    )
    moved, wrong = [], []
    for found in rtelasto.stream(
        sequence.iter_frames(), sequence.format, engine=engine, accumulate=True
    ):
        truth = sequence.truth(found.frame_ids[1], grid=found.grid)
        error = found.accumulated_axial_displacement_m - truth.axial_displacement_m
        moved.append(rms(truth.axial_displacement_m[INNER]))
        wrong.append(float(np.sqrt(np.nanmean(np.square(error[INNER])))))
    peak, rest = max(moved), int(np.argmin(moved))
    assert peak > 100e-6
    assert rest > 10
    assert moved[rest] < 0.2 * peak
    assert wrong[-1] < 0.03 * peak
    assert wrong[rest] < 0.03 * peak


def test_tissue_beside_a_slip_plane_is_known_although_its_strain_is_wrong() -> None:
    """The strain of ``cnn`` misses the slip, which lowers correlation there; its displacement is right."""
    pair = slip_pair(8, "focused")
    estimator = CpuEstimator(open_engine("cnn"))
    strain = estimator(pair)
    depth_m = strain.grid.depth_m
    beside = np.abs(depth_m - depth_m.mean()) < 1.2e-3
    assert (strain.correlation[:, beside] < 0.3).mean() > 0.5
    accumulated = Accumulation(estimator, history=8)(strain, pair)
    assert np.isfinite(accumulated.accumulated_axial_displacement_m[:, beside]).mean() > 0.7
    # Persistence is carried along by the motion on either side.
    without = strain.replace(post_warp_correlation=None)
    assert node_means(strain)[2].min() > 0.0 == node_means(without)[2].min()
