"""The settings file: TOML with a table for each command, for flags that are not on the command line."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App

from rtelasto.errors import RtelastoError

_LARGEST_BYTES = 2**20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_settings(path: Path, app: App) -> dict[str, Any]:
    """Read the tables of a settings file, each for a command (or, inside it, a subcommand).

    The file is UTF-8, with or without the byte order mark that some editors add, or UTF-16 with one.

    Raises
    ------
    RtelastoError
        If the file cannot be read, is not TOML, or has a table that is not named after a command.
    """
    try:
        if path.is_dir():
            raise RtelastoError(f"{path}: is a folder, not a settings file")
        # Read no more than a settings file can hold: it might be a recording.
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise RtelastoError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > _LARGEST_BYTES:
        raise RtelastoError(f"{path}: is too large for a settings file (over 1 MiB)")
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
        settings = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RtelastoError(
            f"{path}: line {line} is not UTF-8 (byte 0x{content[error.start]:02x}): save the file as UTF-8"
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RtelastoError(f"{path}: is not TOML ({error})") from None
    _check_tables(path, settings, app)
    return settings


def _check_tables(path: Path, settings: Mapping[str, Any], app: App) -> None:
    commands = sorted(name for name in app if not name.startswith("-"))
    for name, value in settings.items():
        if name not in commands:
            raise RtelastoError(
                f"{path}: [{name}] is not the name of a command; use one of {', '.join(commands)}"
                if isinstance(value, dict)
                else f"{path}: {name} is outside a table; put it below that of a command, such as [run]"
            )
