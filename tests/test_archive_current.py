"""Outputs of an archive count as unchanged only if each was made from the same content and settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from archive import write_recordings

from rtelasto.errors import RtelastoError
from rtelasto.offline.archive import worker
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import Row, State
from rtelasto.offline.archive.worker import Work, process_task
from rtelasto.settings import EstimateSettings

pytest.importorskip("distributed", reason="needs the extra 'archive'")
pytest.importorskip("matplotlib", reason="the plot extra is not installed")

pytestmark = pytest.mark.slow

WORK = Work(
    settings=EstimateSettings(engine="ncc", device="cpu", pair="consecutive", threads=1),
    overrides={},
    how={"show": "strain", "accumulate": False, "reference": None},
    force=False,
    split=False,
)
OTHER = replace(WORK, settings=replace(WORK.settings, persistence_s=0.0))


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """Outputs of one small recording, as a worker writes them."""
    monkeypatch.setattr(worker, "_address", lambda: "here")
    (scan,) = write_recordings(tmp_path, 1)
    out = tmp_path / "strain.h5"
    return Task(scan, out, out.with_suffix(".png"), out.with_suffix(".report.html"))


def state(task: Task, work: Work = WORK) -> State:
    row = process_task(task, work)
    assert isinstance(row, Row)
    return row.state


@pytest.mark.parametrize("left_out", ["picture", "report"])
def test_an_output_of_other_settings_is_made_again(task: Task, left_out: str) -> None:
    assert state(task) is State.DONE
    assert state(task) is State.UNCHANGED
    old: Path = getattr(task, left_out)
    was = old.read_bytes()
    assert state(replace(task, **{left_out: None}), OTHER) is State.DONE
    assert old.read_bytes() == was
    assert state(task, OTHER) is State.DONE
    assert old.read_bytes() != was
    assert state(task, OTHER) is State.UNCHANGED


def test_a_report_is_made_again_after_a_worker_died_before_it(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state(task) is State.DONE
    assert task.report is not None
    was = task.report.read_bytes()
    with monkeypatch.context() as patched:

        def die(*_: object) -> str:
            raise SystemExit

        patched.setattr(worker, "report_page", die)
        with pytest.raises(SystemExit):
            process_task(task, OTHER)
    assert task.report.read_bytes() == was
    assert state(task, OTHER) is State.DONE
    assert task.report.read_bytes() != was


def test_a_picture_that_must_not_be_replaced_is_said_before_anything_is_computed(
    task: Task,
) -> None:
    assert task.picture is not None
    task.picture.write_text("notes")
    with pytest.raises(RtelastoError, match=r"--pictures .*strain\.png exists and is not a pict"):
        process_task(task, WORK)
    assert not task.out.exists()


def test_parts_left_beside_an_output_that_is_current_are_removed(task: Task) -> None:
    assert state(task) is State.DONE
    parts = task.out.with_name(f".{task.out.name}.parts")
    parts.mkdir()
    (parts / "key-0.npz").touch()
    assert state(task) is State.UNCHANGED
    assert not parts.exists()
