"""The blocks of code on a page of the documentation, read and run as a reader would.

    python tests/helpers/doc_blocks.py PAGE.md FOLDER

runs the blocks of a page in Python and shell in their order, in FOLDER: Python in one namespace, shell
line by line, with the folder of the checkout in ``CHECKOUT``. A live command (``rtelasto run``) is
waited for until it says that it is ready, goes on beside the lines below it, and is stopped with Ctrl-C
at the end of its block, or before the next one of its name.

A block that cannot run here has the reason before it, in a comment that is a paragraph of its own::

    <!-- not run: needs a GPU -->

A page as a whole may need programs or Python packages that not every machine has::

    <!-- needs: octave-cli, torch -->

The pictures of a tutorial are those that its run leaves in FOLDER: copy them from there to refresh them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from waiting import WAIT_S

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]*?) *-->\n\n?)?"
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
MARKER = "<!-- not run:"
_NEEDS = re.compile(r"^<!-- needs: (.*) -->$", re.MULTILINE)
_PICTURE = re.compile(r"^!\[[^\]]*\]\(([^)/]+)\)$", re.MULTILINE)
RUN = ("python", "sh", "console")
# They end when they are told to, and say so.
_LIVE = ("run", "view", "record", "igtl")
_READY = "Ctrl-C stops"


@dataclass(frozen=True)
class Block:
    """A fence of code: its language, the line of the page where it begins, and why it is not run."""

    language: str
    code: str
    line: int
    reason: str | None

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, continued lines joined, without comments and prompts."""
        joined = self.code.replace("\\\n", " ").splitlines()
        words = [shlex.split(line.removeprefix("$ "), comments=True) for line in joined]
        return [
            line.removeprefix("$ ").strip()
            for line, found in zip(joined, words, strict=True)
            if found
        ]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in a language that can run."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            text.count("\n", 0, found.start("language")) + 1,
            found["reason"],
        )
        for found in _BLOCK.finditer(text)
        if found["language"] in RUN
    ]


def missing(page: Path) -> list[str]:
    """Return what a page needs and this machine does not have, programs and Python packages."""
    stated = _NEEDS.search(page.read_text(encoding="utf-8"))
    needed = stated[1].split(", ") if stated else []
    return [name for name in needed if shutil.which(name) is None and find_spec(name) is None]


def pictures(page: Path) -> list[str]:
    """Return the names of the pictures beside a page that it shows."""
    return _PICTURE.findall(page.read_text(encoding="utf-8"))


def live_command(line: str) -> str | None:
    """Return the name of the command of a line that runs until it is stopped, or None."""
    words = shlex.split(line, comments=True)
    if words[0] != "rtelasto" or "--help" in words:
        return None
    return next((word for word in words[1:] if word in _LIVE), None)


@contextmanager
def _started(line: str) -> Iterator[None]:
    """A live command, from when it is ready until it is stopped."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line}"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = ""
    while _READY not in said:
        answer = process.stderr.readline()
        if not answer:
            raise SystemExit(f"{line!r} ended with {process.wait()}: {said}")
        said += answer
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=WAIT_S)[1]
        if process.returncode:
            raise SystemExit(f"{line!r} ended with {process.returncode}: {said}")


def _run_shell(block: Block) -> None:
    with ExitStack() as at_the_end:
        live: dict[str, ExitStack] = {}
        for line in block.commands:
            name = live_command(line)
            if name is None:
                subprocess.run(["bash", "-c", line], check=True, timeout=WAIT_S)
                continue
            if name in live:
                live[name].close()
            live[name] = at_the_end.enter_context(ExitStack())
            live[name].enter_context(_started(line))


def run_page(page: Path, names: dict[str, object]) -> None:
    """Run every block of a page that has no reason not to, in the current folder."""
    for block in blocks(page):
        if block.reason is not None:
            continue
        print(f"{page.name}:{block.line}", flush=True)
        began = time.monotonic()
        if block.language == "python":
            # Compiled with the page's line numbers, for the traceback.
            exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
        else:
            _run_shell(block)
        print(f"    {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    path, folder = map(Path.absolute, map(Path, sys.argv[1:]))
    # What a page calls `rtelasto` and `python` are those of this interpreter.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    os.environ["CHECKOUT"] = str(Path(__file__).resolve().parents[2])
    os.chdir(folder)
    run_page(path, {"__name__": "__main__"})
