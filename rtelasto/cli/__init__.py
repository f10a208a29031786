"""The command line: ``rtelasto COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rtelasto.errors import RtelastoError

BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 2 bad input (one line on stderr), 130 interrupted."""
    from cyclopts import CycloptsError

    from rtelasto.cli.app import app

    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app.meta(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        _fail(" ".join(str(error).split()))
    except RtelastoError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Somebody read the first lines of our output and left, as `head` does.
        sys.stderr.close()
        sys.exit(0)


def _fail(message: str) -> None:
    print(f"rtelasto: {message}", file=sys.stderr)
    sys.exit(BAD_INPUT)
