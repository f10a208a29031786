"""The benchmark of the live picture, in its short form: real processes, the real wire."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("skfem")


@pytest.mark.slow
def test_it_judges_what_a_subscriber_of_a_run_sees(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    json_file, picture = tmp_path / "picture.json", tmp_path / "picture.png"
    command = [sys.executable, "-m", "benchmarks.live_picture", "--short", "--engine", "ncc"]
    done = subprocess.run(
        [*command, "--json", str(json_file), "--png", str(picture)],
        capture_output=True,
        text=True,
        timeout=600.0,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {row["shown"]: row for row in json.loads(json_file.read_text("utf-8"))}
    assert set(found) == {
        "consecutive",
        "consecutive, averaged by the viewer",
        "adaptive",
        "adaptive, persistence",
    }
    # What they are depends on how many pairs a second the machine makes meanwhile.
    for row in found.values():
        assert row["error_percent"] > 0.0
        assert 0.0 <= row["good_percent"] <= 100.0
        assert len(row["errors_percent"]) == len(row["times_s"]) > 0
    assert picture.stat().st_size > 10_000
    assert "| 1 % | 20 | 35 dB | adaptive, persistence |" in done.stdout
