"""The command line: ``rtelasto COMMAND``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with an `ExitCode`; bad input is reported in one line on stderr.

    Without ``arguments``, use those of the process and install the signal handlers.
    """
    if arguments is None:
        # Before any slow import.
        from rtelasto.host import interrupt

        interrupt.take_over()
    from rtelasto.cli.entry import run_command

    run_command(arguments)
