"""`rtelasto settings` prints a settings file with every option, and examples/scanner.toml is that file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import processes
import pytest
from cyclopts import App
from cyclopts.config import Dict

from rtelasto.cli.app import app
from rtelasto.cli.settings import settings_text
from rtelasto.cli.settings_file import read_settings

EXAMPLE = Path(__file__).parents[1] / "examples" / "scanner.toml"
TEXT = EXAMPLE.read_text(encoding="ascii")
HELP_OF_EACH = """
import sys
from rtelasto.cli import main
for command in sys.argv[1].split(","):
    print("HELP OF", command)
    main([*command.split(), "--help"])
"""


def commands(of: App, *above: str) -> Iterator[tuple[str, ...]]:
    """The words of every command and subcommand."""
    for name in of:
        if not name.startswith("-"):
            yield (*above, name)
            yield from commands(of[name], *above, name)


COMMANDS = list(commands(app))


def options_in(text: str) -> dict[str, set[str]]:
    """Command → the keys of its table, commented out."""
    tables: dict[str, set[str]] = {}
    for line in text.splitlines():
        if table := re.fullmatch(r"\[([\w.]+)\]", line):
            tables[table[1].replace(".", " ")] = set()
        elif key := re.match(r"#(\w+) = ", line):
            tables[next(reversed(tables))].add(key[1])
    return tables


def test_the_example_is_up_to_date() -> None:
    assert settings_text() == TEXT, "run `rtelasto settings > examples/scanner.toml`"


@pytest.mark.slow
def test_the_example_is_what_the_command_prints() -> None:
    assert processes.finish("settings").stdout == TEXT


@pytest.mark.slow
def test_every_flag_in_the_help_of_every_command_is_in_the_file() -> None:
    names = ",".join(map(" ".join, COMMANDS))
    printed = processes.finish(names, program=("-c", HELP_OF_EACH)).stdout
    flags = {}
    for part in printed.split("HELP OF ")[1:]:
        command, _, text = part.partition("\n")
        found = set(re.findall(r"^  --([a-z0-9-]+)", text, re.MULTILINE))
        found -= {"config", "log-format", "help", "version"}
        # `engines build cnn`: an argument that can be left out.
        found |= set(re.findall(r"^  [A-Z]+, --([a-z-]+):.*\[default", text, re.MULTILINE))
        if found:
            flags[command] = {flag.replace("-", "_") for flag in found}
    assert options_in(TEXT) == flags


def test_every_option_has_a_help_text() -> None:
    lines = TEXT.splitlines()
    assert not [
        line
        for above, line in pairwise(lines)
        if re.match(r"#\w+ = ", line) and not above.startswith("# ")
    ]


def test_as_it_stands_it_sets_nothing() -> None:
    settings = tomllib.loads(TEXT)
    assert settings["run"] == settings["view"] == settings["engines"]["build"] == {}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_with_every_default_uncommented_a_command_does_what_it_does_without_a_file(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scanner.toml"
    path.write_text(re.sub(r"^#(?=\w+ = (?!.*<))", "", TEXT, flags=re.MULTILINE))
    needed = {"process": ["a.h5", "-o", "b.h5"]} | {
        name: ["a"] for name in ("record", "keys", "replay", "report", "simulate")
    }

    def taken() -> dict[str, object]:
        tokens = [*command, *needed.get(command[0], [])]
        _, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        bound.apply_defaults()
        return bound.arguments

    without = taken()
    monkeypatch.setattr(app, "config", (Dict(read_settings(path, app), source=str(path)),))
    for name, value in taken().items():
        # Commands take None for settings that are all defaults.
        assert value == (type(value)() if without[name] is None else without[name]), name
