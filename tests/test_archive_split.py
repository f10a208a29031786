"""A long recording is split over workers, and its strain file is the one of the whole recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import simulated_gpu
from archive import write_palpation

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.errors import RtelastoError
from rtelasto.offline.archive import parts, worker
from rtelasto.offline.archive.estimates import recalling
from rtelasto.offline.archive.parts import (
    clear_parts,
    estimate_part,
    split,
    whole_parts,
    worth_splitting,
)
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.worker import Work, process_part, process_task
from rtelasto.offline.process import process_recording
from rtelasto.pipeline.engines import open_engine
from rtelasto.settings import EstimateSettings
from rtelasto.sources import open_recording

PAIRINGS = ("adaptive", "lag 3")
HOW = {"show": "strain", "accumulate": False, "reference": None}


def settings(pair: str = "adaptive", engine: str = "cnn") -> EstimateSettings:
    return EstimateSettings(engine=engine, device="cpu", pair=pair, threads=1)


@pytest.fixture(scope="module")
def estimator() -> CpuEstimator:
    return CpuEstimator(open_engine("cnn", threads=1))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_palpation(tmp_path_factory.mktemp("scans") / "palpation.h5", 60)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRINGS)
@pytest.mark.parametrize("engine", ["cnn", "cnn2"])
def test_parts_joined_are_the_file_of_the_whole(
    engine: str, pair: str, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of ``cnn2`` also hold its measurements, which are averaged over time."""
    estimator, how = CpuEstimator(open_engine(engine, threads=1)), settings(pair, engine)
    monkeypatch.setattr(parts, "PART_FRAMES", 20)
    whole, joined = tmp_path / "whole.h5", tmp_path / "joined.h5"
    with open_recording(short) as recording:
        process_recording(recording, whole, how, estimator=estimator)
        found = split(recording.n_frames, joined, "key")
        assert [(part.first, part.stop) for part in found] == [(0, 20), (20, 40), (40, 60)]
        for part in found:
            estimate_part(recording, part, how.policy(), estimator)
        with recalling(estimator, [part.estimates for part in found]) as recalled:
            process_recording(recording, joined, how, estimator=recalled)
        # What was computed in parts is not computed again, but for few pairs after a boundary.
        assert recalled.n_estimated <= 2
    assert joined.read_bytes() == whole.read_bytes()


def test_a_part_that_is_there_is_not_computed_again(
    short: Path, estimator: CpuEstimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_FRAMES", 20)
    out = tmp_path / "strain.h5"
    first, *others = split(60, out, "key")
    with open_recording(short) as recording:
        estimate_part(recording, first, settings().policy(), estimator)
        written = first.estimates.stat().st_mtime_ns
        estimate_part(recording, first, settings().policy(), estimator)
    assert whole_parts(out) == [first.estimates]
    assert first.estimates.stat().st_mtime_ns == written
    # Other content, settings or version make another key, and these parts are removed.
    assert {part.estimates for part in split(60, out, "other")}.isdisjoint([first.estimates])
    clear_parts(out, keep=[part.estimates for part in others])
    assert list(tmp_path.iterdir()) == []


def test_a_part_appears_whole_or_not_at_all(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaking(CpuEstimator):
        calls = 0

        def __call__(self, pair):  # type: ignore[no-untyped-def]
            self.calls += 1
            if self.calls > 3:
                raise RtelastoError("the engine fails")
            return super().__call__(pair)

    monkeypatch.setattr(parts, "PART_FRAMES", 20)
    part, *_ = split(60, tmp_path / "strain.h5", "key")
    breaking = Breaking(open_engine("cnn", threads=1))
    with open_recording(short) as recording, pytest.raises(RtelastoError, match="engine fails"):
        estimate_part(recording, part, settings().policy(), breaking)
    assert list(part.estimates.parent.iterdir()) == []


def test_short_recordings_are_not_split(tmp_path: Path) -> None:
    out = tmp_path / "strain.h5"
    assert split(2 * parts.PART_FRAMES - 1, out, "key") == []
    assert len(split(2 * parts.PART_FRAMES, out, "key")) == 2


def test_recordings_are_split_where_workers_would_have_nothing_to_do() -> None:
    assert not worth_splitting(1, 1)
    assert worth_splitting(1, 2)
    assert worth_splitting(7, 2)
    assert not worth_splitting(8, 2)
    # A cluster may start its workers once there is work.
    assert worth_splitting(100, 0)


def test_a_file_of_another_kind_is_refused_before_parts_are_computed(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_FRAMES", 20)
    work = Work(settings=settings(), overrides={}, how=HOW, force=False, split=True)
    out = tmp_path / "sub" / "strain.h5"
    found = process_task(Task(short, out), work)
    assert isinstance(found, list)
    assert [part.first for part in found] == [0, 20, 40]
    out.write_text("notes")
    with pytest.raises(RtelastoError, match=r"strain\.h5"):
        process_task(Task(short, out), work)
    assert isinstance(process_task(Task(short, out), replace(work, force=True)), list)


@pytest.mark.slow
@pytest.mark.usefixtures("simulated_device")
def test_a_worker_with_a_gpu_estimates_parts_that_one_without_hands_out(
    short: Path, estimator: CpuEstimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_FRAMES", 20)
    whole, joined = tmp_path / "whole.h5", tmp_path / "joined.h5"
    with open_recording(short) as recording:
        process_recording(recording, whole, settings(), estimator=estimator)
    work = Work(settings=settings(), overrides={}, how=HOW, force=False, split=True)
    task = Task(short, joined)
    handed_out = process_task(task, work)
    assert isinstance(handed_out, list)
    gpu = simulated_gpu.estimator()
    monkeypatch.setattr(worker, "estimator_of", lambda _: gpu)
    for part in handed_out:
        process_part(part, task, work)
    with open_recording(short) as recording, recalling(gpu.fallback, whole_parts(joined)) as known:
        process_recording(recording, joined, settings(), estimator=known)
        assert known.n_estimated <= 2
    assert joined.read_bytes() == whole.read_bytes()
