"""The test suite itself."""

from __future__ import annotations

import logging

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
