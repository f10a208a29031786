"""The one exception a user of rtelasto has to catch."""

from __future__ import annotations


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
