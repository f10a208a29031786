"""The command line: ``rtelasto COMMAND``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit as `ExitCode` says; bad input is one line on stderr.

    Without ``arguments`` it takes those of the process, and its signals too.
    """
    if arguments is None:
        # Before anything is loaded that takes time.
        from rtelasto.host import interrupt

        interrupt.take_over()
    from rtelasto.cli.entry import run_command

    run_command(arguments)
