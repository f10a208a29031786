"""The test suite itself."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from rtelasto.cli import main


def test_a_command_within_the_process_logs_to_its_own_stderr(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["replay", "no-such-file.h5"])
    assert "no-such-file.h5" in capsys.readouterr().err


def test_a_later_line_in_the_log_prints_no_traceback(capsys: pytest.CaptureFixture[str]):
    """The handler of the test before would write to a stream that is closed."""
    logging.getLogger("rtelasto.late").warning("a late line")
    assert "Traceback" not in capsys.readouterr().err


FOLDER = Path(__file__).parent
# What a module of tests needs that `make test` must not: how it gets it, and the mark that it then has.
MARKS = {
    r"^import (browser|viewer_scene)|^from (browser|viewer_scene) import|chromium: Any": "browser",
    r"^import octave|^from octave import": "octave",
    r"^from benchmarks.faults": "faults",
    r"^from fuzz": "fuzz",
    r"importorskip\(.torch": "slow",
}


def test_what_the_quick_lane_must_not_need_is_marked() -> None:
    for path in FOLDER.glob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        for pattern, mark in MARKS.items():
            if path.name != Path(__file__).name and re.search(pattern, text, re.MULTILINE):
                assert f"pytest.mark.{mark}\n" in text, f"{path.name} needs the mark {mark}"


def test_helpers_stand_in_their_folder() -> None:
    others = {path.name for path in FOLDER.glob("*.py") if not path.name.startswith("test_")}
    assert others == {"conftest.py"}
