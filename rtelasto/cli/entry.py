"""Runs a command, from its arguments to its exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from rtelasto.errors import ExitCode, KeepsFailingError, RtelastoError
from rtelasto.host import interrupt
from rtelasto.host.transliterate import use_for_output
from rtelasto.telemetry import logs

log = logging.getLogger("rtelasto")

# A full disk, quota or file size limit behind ``> file``, or a failing disk.
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))


def run_command(arguments: Sequence[str] | None) -> None:
    """Run a command and exit with an `ExitCode`; bad input is reported in one line on stderr."""
    use_for_output()
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
    finally:
        # From here on the interpreter shuts down, with nothing to clean up.
        interrupt.leave_at_once()


def _run(tokens: list[str]) -> None:
    from cyclopts import CycloptsError

    from rtelasto.cli.app import app

    try:
        app.meta(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        # Flush here, where a full disk is still an error that can be reported.
        sys.stdout.flush()
    except CycloptsError as error:
        _fail(" ".join(str(error).split()), ExitCode.BAD_INPUT)
    except RtelastoError as error:
        _fail(str(error), ExitCode.BAD_INPUT)
    except KeepsFailingError as error:
        _fail(str(error), ExitCode.KEEPS_FAILING)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has closed it, as `head` does after the first lines.
        sys.stderr.close()
        sys.exit(ExitCode.DONE)
    except Exception as error:
        if interrupt.was_interrupted():
            sys.exit(ExitCode.INTERRUPTED)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            _discard_output()
            _fail(f"the output cannot be written: {error.strerror}", ExitCode.BAD_INPUT)
        if logs.as_json():
            log.critical("%s: %s", type(error).__name__, error, exc_info=True)
        else:
            traceback.print_exc()
        sys.exit(ExitCode.INTERNAL)


def _discard_output() -> None:
    """Discard the rest of the output: Python writes it again when it exits, and would fail again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _fail(message: str, code: ExitCode) -> NoReturn:
    if interrupt.was_interrupted():
        sys.exit(ExitCode.INTERRUPTED)
    if logs.as_json():
        log.critical("%s", message, extra={"fields": {"exit_code": int(code)}})
    else:
        # If stderr cannot be written either, the exit code still reports the failure.
        with contextlib.suppress(OSError):
            print(f"rtelasto: {message}", file=sys.stderr)
    sys.exit(code)
