"""What the exit code of a command says to whoever started it, such as systemd."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """0 done. Starting the same command again helps after 70 and 75, not after 2.

    70 and 75 are sysexits' EX_SOFTWARE and EX_TEMPFAIL.
    """

    DONE = 0
    BAD_INPUT = 2
    """A parameter, file or endpoint is wrong; one line on stderr says which."""
    INTERNAL = 70
    """An error of rtelasto's own, with its traceback."""
    KEEPS_FAILING = 75
    """The pipeline's process failed again and again: a GPU is gone, memory is short."""
    INTERRUPTED = 130
    """Ctrl-C in a command that does not end that way by itself."""
