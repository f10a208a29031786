"""`rtelasto record` takes what `RecordSettings` has: one list of flags, one list of checks."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from processes import finish

from rtelasto import RecordSettings


@pytest.mark.slow
def test_the_flags_of_record_are_its_settings_and_say_what_those_say() -> None:
    text = " ".join(finish("record", "--help").stdout.split())
    flags = set(re.findall(r"--(?!no-)([a-z-]+)(?:[:,]| PATH| STR| INT)", text)) - {"config"}
    names = {field.name.replace("_", "-") for field in dataclasses.fields(RecordSettings)}
    assert flags == names
    assert "lost and counted as overflow" in text


def test_the_folder_comes_first_and_a_settings_file_gives_the_rest(tmp_path: Path) -> None:
    config = tmp_path / "scanner.toml"
    config.write_text("[record]\nbuffer_frames = 1\n")
    done = finish("--config", str(config), "record", str(tmp_path / "scan"))
    assert done.returncode == 2
    assert "buffer_frames must lie in 2…100000, got 1" in done.stdout + done.stderr
    assert not (tmp_path / "scan").exists()


def test_only_the_folder_may_stand_without_its_flag(tmp_path: Path) -> None:
    done = finish("record", str(tmp_path / "scan"), "tcp://127.0.0.1:5555")
    assert done.returncode != 0
    assert "tcp://127.0.0.1:5555" in done.stdout + done.stderr
