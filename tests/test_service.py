"""The systemd unit and the exit codes that it acts on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtelasto.errors import ExitCode

ROOT = Path(__file__).parent.parent


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    # It looks whether the command is there.
    unit = (ROOT / "deploy" / "rtelasto.service").read_text()
    copy = tmp_path / "rtelasto.service"
    copy.write_text(unit.replace("/opt/rtelasto/bin/rtelasto", sys.executable))
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_docs_name_every_exit_code_and_systemd_leaves_bad_input_alone() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "service.md").read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == list(ExitCode)
    unit = (ROOT / "deploy" / "rtelasto.service").read_text()
    assert f"RestartPreventExitStatus={ExitCode.BAD_INPUT:d}\n" in unit
