"""What pages show works: their commands are accepted, and their blocks run, or say why they do not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import doc_blocks
import pytest
from processes import finish

from rtelasto.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "CONTRIBUTING.md",
    *sorted(
        page
        for folder in ("docs", "bridge", "benchmarks", "engines/models")
        for page in (ROOT / folder).glob("**/*.md")
        if doc_blocks.blocks(page)
    ),
]
RUNNER = Path(doc_blocks.__file__)
# The first page has its reasons here, because a package index shows it.
README = ROOT / "README.md"
NOT_RUN_OF_README = {
    "make demo": "they are run by every check of a change",
    ". .venv/bin/activate": "installs what the tests already have",
    "rtelasto simulate press.h5 && ": "its replay runs until it is stopped; docs/tutorials/first-strain.md",
    "rtelasto run --igtl": "its subscriber runs until it is stopped; tests/test_examples.py",
}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    reasons = [block.reason for block in doc_blocks.blocks(page) if block.reason is not None]
    assert all(reasons)
    # And each reason belongs to a block.
    assert page.read_text(encoding="utf-8").count(doc_blocks.MARKER) == len(reasons)


@pytest.mark.parametrize("page", [README, *PAGES], ids=named)
def test_every_command_on_a_page_has_the_flags_that_it_is_given(page: Path) -> None:
    for block in doc_blocks.blocks(page):
        if block.language == "python":
            continue
        for line in block.commands:
            words = shlex.split(re.split(r" (?:>|\|\||&&) ", line)[0], comments=True)
            if words[0] == "rtelasto":
                app.meta.parse_args(words[1:], exit_on_error=False, print_error=False)
                if not words[1].startswith("-"):
                    app.parse_args(words[1:], exit_on_error=False, print_error=False)


def own_network() -> list[str]:
    """What starts a command with ports of its own, where this machine allows it: pages name fixed ones."""
    command = [
        "unshare",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "-",
    ]
    try:
        allowed = subprocess.run([*command, "true"], capture_output=True, check=False, timeout=60)
    except FileNotFoundError:
        return []
    return command if allowed.returncode == 0 else []


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.reason is None for block in doc_blocks.blocks(page))],
    ids=named,
)
def test_what_a_page_shows_runs(page: Path, tmp_path: Path) -> None:
    if missing := doc_blocks.missing(page):
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    run(page, tmp_path)
    if page.parent.name == "tutorials":
        not_made = [name for name in doc_blocks.pictures(page) if not (tmp_path / name).is_file()]
        assert not_made == []


@pytest.mark.slow
def test_what_the_first_page_shows_runs(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    for start, reason in NOT_RUN_OF_README.items():
        assert f"```sh\n{start}" in text
        text = text.replace(f"```sh\n{start}", f"{doc_blocks.MARKER} {reason} -->\n```sh\n{start}")
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    # Its commands are for the folder of the checkout.
    (tmp_path / "engines").symlink_to(ROOT / "engines")
    finish("simulate", "press.h5", "--frames", 12, cwd=tmp_path)
    run(tmp_path / "README.md", tmp_path)


def run(page: Path, folder: Path) -> None:
    """Run the blocks of a page in a process of its own."""
    done = subprocess.run(
        [*own_network(), sys.executable, str(RUNNER), str(page), str(folder)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
