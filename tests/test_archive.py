"""Which recordings an archive holds, what their strain depends on, and the summary of what was done."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from archive import write_recordings
from speckle import SMALL_FORMAT

from rtelasto.errors import RtelastoError
from rtelasto.offline.archive.cluster import WORKER_MIB, local_workers
from rtelasto.offline.archive.recordings import find_recordings, names_several
from rtelasto.offline.archive.row import Row, State, failed, figures
from rtelasto.offline.archive.summary import write_summary
from rtelasto.offline.content_key import content_key
from rtelasto.offline.process import process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.output_file import OutputFile, discard_leftovers
from rtelasto.sources import open_recording
from rtelasto.sources.strain_file import StrainFile

SETTINGS = EstimateSettings(engine="ncc", device="cpu", pair="consecutive")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for name in ("a.npy", "monday/a.mhd", "monday/b.h5", "monday/notes.txt", "monday/.hidden.h5"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "tuesday").mkdir()
    (folder / "tuesday" / "rf-000-0001.h5").write_bytes(b"x")
    return folder


def outs(paths: list[Path], out: Path) -> dict[str, str]:
    return {
        str(task.recording.name): task.out.relative_to(out).as_posix()
        for task in find_recordings(paths, out)
    }


def test_recordings_of_a_folder_keep_their_place(scans: Path, tmp_path: Path) -> None:
    found = [task.out for task in find_recordings([scans], tmp_path)]
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "a.h5",
        "monday/a.h5",
        "monday/b.h5",
        "tuesday.h5",
    ]


def test_patterns_and_files_go_straight_into_the_output(scans: Path, tmp_path: Path) -> None:
    pattern = scans / "**" / "*.mhd"
    assert outs([pattern, scans / "monday" / "b.h5"], tmp_path) == {"a.mhd": "a.h5", "b.h5": "b.h5"}
    # Named twice is processed once.
    assert outs([scans / "a.npy", scans / "a.npy"], tmp_path) == {"a.npy": "a.h5"}


def test_strain_files_are_no_recordings(tmp_path: Path) -> None:
    (recording,) = write_recordings(tmp_path / "scans", 1)
    with open_recording(recording) as opened:
        process_recording(opened, tmp_path / "scans" / "strain.h5", SETTINGS)
    (task,) = find_recordings([tmp_path / "scans"], tmp_path / "out")
    assert task.recording == recording


def test_names_that_clash_are_refused_before_any_work(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(RtelastoError, match=r"a\.npy and .*a\.mhd would both be written to"):
        find_recordings([scans / "a.npy", scans / "monday" / "a.mhd"], tmp_path)
    with pytest.raises(RtelastoError, match="would replace the recording"):
        find_recordings([scans / "monday" / "b.h5"], scans / "monday")
    with pytest.raises(RtelastoError, match="no such file or folder"):
        find_recordings([scans / "*.xyz"], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RtelastoError, match="no recording found"):
        find_recordings([tmp_path / "empty"], tmp_path)


@pytest.mark.parametrize(
    ("paths", "out", "several"),
    [
        (["a.npy"], "strain.h5", False),
        (["a.npy"], "strain.txt", False),
        (["tuesday"], "strain.h5", False),
        (["a.npy"], "strain", True),
        (["a.npy"], "monday", True),
        (["monday"], "strain", True),
        (["*.npy"], "strain.h5", True),
        (["a.npy", "monday/b.h5"], "strain.h5", True),
    ],
)
def test_one_recording_makes_a_file_and_several_a_folder(
    scans: Path, paths: list[str], out: str, several: bool
) -> None:
    assert names_several([scans / path for path in paths], scans / out) == several


def test_the_key_follows_everything_that_changes_the_strain(tmp_path: Path) -> None:
    first, second = write_recordings(tmp_path, 2)
    with open_recording(first) as recording:
        key = content_key(recording, SETTINGS)
        assert content_key(recording, replace(SETTINGS, threads=2)) == key
        for changed in (
            replace(SETTINGS, engine="am"),
            replace(SETTINGS, pair="lag 2"),
            replace(SETTINGS, persistence_s=0.0),
        ):
            assert content_key(recording, changed) != key
        assert content_key(recording, SETTINGS, accumulate=True) != key
    with open_recording(first, sound_speed_m_s=1480.0) as recording:
        assert content_key(recording, SETTINGS) != key
    with open_recording(second) as recording:
        assert content_key(recording, SETTINGS) != key
    # One sample in the middle of the file.
    with open_recording(first) as recording:
        frames = list(recording)
    frames[2].samples[10, 400] += 1.0
    with RecordingWriter(tmp_path / "changed.h5", SMALL_FORMAT) as writer:
        for frame in frames:
            writer.write(frame)
    with open_recording(tmp_path / "changed.h5") as recording:
        assert content_key(recording, SETTINGS) != key


def test_a_strain_file_says_what_it_was_made_from(tmp_path: Path) -> None:
    (path,) = write_recordings(tmp_path, 1)
    with open_recording(path) as recording:
        process_recording(recording, tmp_path / "strain.h5", SETTINGS)
        with StrainFile(tmp_path / "strain.h5") as strain:
            made = {"show": "strain", "accumulate": False, "reference": None}
            assert strain.made_from == content_key(recording, SETTINGS, **made)
            assert figures(strain)["losses"] == "pair_first 1"
            assert figures(strain)["pairs"] == 4
            assert 0.5 < figures(strain)["pattern_stability"] <= 1.0


def test_the_same_recording_makes_the_same_bytes_whenever_python_releases_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_recordings(tmp_path, 1)
    kept, create = [], h5py.Group.create_dataset

    def create_and_keep(*arguments: object, **options: object) -> h5py.Dataset:
        kept.append(create(*arguments, **options))
        return kept[-1]

    with open_recording(path) as recording:
        process_recording(recording, tmp_path / "released.h5", SETTINGS)
        monkeypatch.setattr(h5py.Group, "create_dataset", create_and_keep)
        process_recording(recording, tmp_path / "kept.h5", SETTINGS)
    assert kept
    assert (tmp_path / "kept.h5").read_bytes() == (tmp_path / "released.h5").read_bytes()


def test_leftovers_of_one_output_are_removed(tmp_path: Path) -> None:
    ours, others = (OutputFile(tmp_path / name) for name in ("a[1].h5", "b.h5"))
    discard_leftovers(tmp_path / "a[1].h5")
    assert not ours.temporary.exists()
    assert others.temporary.exists()


def test_the_number_of_workers_follows_the_memory() -> None:
    assert local_workers(3, 6 * WORKER_MIB) == (3, 2 * WORKER_MIB)
    assert local_workers(None, WORKER_MIB) == (1, WORKER_MIB)
    with pytest.raises(RtelastoError, match="too little for 4 workers"):
        local_workers(4, 2 * WORKER_MIB)
    with pytest.raises(RtelastoError, match="--workers must be at least 1, got 0"):
        local_workers(0, None)


def test_the_summary_holds_a_line_for_each_recording(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'archive'")
    done = Row(
        recording="scans/<a>.npy",
        out=str(tmp_path / "sub dir" / "a.h5"),
        picture=str(tmp_path / "sub dir" / "a.png"),
        state=State.DONE,
        frames=5,
        pairs=4,
        median_correlation=np.float32(0.97).item(),
    )
    (bad,) = (
        failed(task, "is empty")
        for task in find_recordings([_touch(tmp_path / "b.npy")], tmp_path / "out")
    )
    write_summary(tmp_path, [done, bad])
    with (tmp_path / "summary.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    table = parquet.read_table(tmp_path / "summary.parquet").to_pylist()
    for rows in (lines, table):
        assert [row["state"] for row in rows] == ["failed", "done"]
        assert [row["reason"] for row in rows] == ["is empty", ""]
        assert [int(row["pairs"]) for row in rows] == [0, 4]
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "1 done, 1 failed" in page
    assert "&lt;a&gt;.npy" in page
    assert "src='sub%20dir/a.png'" in page
    assert "b.npy: is empty" in page


def _touch(path: Path) -> Path:
    path.touch()
    return path


def test_reports_are_linked_from_the_thumbnails(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'archive'")
    (task,) = find_recordings([_touch(tmp_path / "summary.npy")], tmp_path / "out", reports=True)
    # A recording may have the name of the summary's page.
    assert task.report == tmp_path / "out" / "summary.report.html"
    assert task.report in task.outputs
    row = Row(
        recording=str(task.recording),
        out=str(task.out),
        picture=str(task.picture),
        report=str(task.report),
        state=State.DONE,
    )
    (tmp_path / "out").mkdir()
    write_summary(tmp_path / "out", [row])
    page = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert "<a href='summary.report.html'><img" in page
    assert "src='summary.png'" in page
    write_summary(tmp_path / "out", [replace(row, picture="")])
    page = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert "<a href='summary.report.html'>report</a>" in page
