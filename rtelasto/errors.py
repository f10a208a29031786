"""Errors that a user can mend, the text of other errors, and the exit codes of the commands."""

from __future__ import annotations

from enum import IntEnum


class RtelastoError(ValueError):
    """Input that a user can mend: a file, a parameter, an endpoint.

    The message is one line that names the file or parameter, gives the value and says what to do.
    The command line prints it and exits with code 2; programming errors are ordinary exceptions and
    keep their traceback.
    """


class MissingExtraError(RtelastoError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'rtelasto[{extra}]'")


class KeepsFailingError(RuntimeError):
    """What has to run failed again and again; starting it later may help. Exit code 75."""


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, or its ``repr`` if it has no text."""
    return (str(error).strip() or repr(error)).splitlines()[0]


class ExitCode(IntEnum):
    """0 done. Starting the same command again helps after 70 and 75, not after 2.

    70 and 75 are sysexits' EX_SOFTWARE and EX_TEMPFAIL.
    """

    DONE = 0
    SOME_FAILED = 1
    """Some recordings of an archive failed; each is listed with its reason."""
    BAD_INPUT = 2
    """A parameter, file or endpoint is wrong; one line on stderr says which."""
    INTERNAL = 70
    """An error of rtelasto's own, with its traceback."""
    KEEPS_FAILING = 75
    """The pipeline's process failed again and again: a GPU is gone, memory is short."""
    INTERRUPTED = 130
    """Ctrl-C in a command that does not end that way by itself."""
