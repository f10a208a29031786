"""``rtelasto settings``: a settings file with every option, commented out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from cyclopts import App
from cyclopts.argument import Argument

from rtelasto.cli.terminal import console
from rtelasto.host.transliterate import ERRORS

_HEAD = """\
# Settings for rtelasto, as `rtelasto settings` prints them. To set an option, remove the # before it.
#
#     rtelasto --config scanner.toml run
#
# There is a table for each command. Flags on the command line override it. Each option has its default,
# or <what it takes> if it has none. Files and folders without a flag stay on the command line.
"""
_WIDTH = 100
_TAKES = {str: "<text>", Path: "<path>", int: "<whole number>", float: "<number>"}


def settings() -> None:
    """Print a settings file with every option of every command, what it does, and its default.

    All options are commented out, so the file changes nothing until you edit it.
    """
    console.print(settings_text(), soft_wrap=True, end="")


def settings_text() -> str:
    """Return the text of the file, in ASCII: what is redirected into a file has the terminal's encoding."""
    from rtelasto.cli.app import app

    return "\n".join([_HEAD, *_tables(app)]).encode("ascii", ERRORS).decode()


def _tables(app: App, above: str = "") -> Iterator[str]:
    """Yield the lines of a table for each command of ``app``, followed by those of its subcommands."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        options = [option for option in _arguments(command) if _has_flag(option)]
        if options:
            yield f"# {command.help.splitlines()[0]}"
            yield f"[{above}{name}]"
            for option in options:
                yield from _lines(option)
            yield ""
        yield from _tables(command, f"{above}{name}.")


def _arguments(command: App) -> list[Argument]:
    """Return what a command takes, with the help texts."""
    if command.default_command is None:
        return []
    found = command.assemble_argument_collection(parse_docstring=True)
    # An object that flags fill in is in the collection, too, and not shown.
    return [argument for argument in found if argument.show]


def _has_flag(argument: Argument) -> bool:
    """Whether an argument is an option, not a file or folder that the command needs."""
    return argument.index is None or not argument.required


def _lines(option: Argument) -> Iterator[str]:
    """Yield the help of an option and, commented out, its line."""
    help_text = " ".join((option.parameter.help or "").replace("``", "`").split())
    if get_origin(option.hint) is Literal:
        help_text += f" One of {', '.join(get_args(option.hint))}."
    yield from textwrap.wrap(help_text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    key = option.name.removeprefix("--").replace("-", "_")
    default = option.field_info.default
    # TOML has no value for what is not set.
    is_set = not option.required and default not in (None, ())
    yield f"#{key} = {_toml(default) if is_set else _takes(option.hint)}"


def _toml(value: Any) -> str:
    """Return a text, number, truth value or path in TOML, which writes these as JSON does."""
    return json.dumps(str(value) if isinstance(value, Path) else value)


def _takes(hint: Any) -> str:
    """Return what an option of this type takes, in angle brackets where a value has to be put in."""
    of = [each for each in get_args(hint) if each not in (NoneType, Ellipsis)]
    if get_origin(hint) is Literal:
        return _toml(f"<{' or '.join(of)}>")
    if get_origin(hint) is tuple:
        return f"[{', '.join(map(_takes, of))}]"
    if of:
        return _takes(of[0])
    return _TAKES[hint] if hint in (int, float) else _toml(_TAKES[hint])
