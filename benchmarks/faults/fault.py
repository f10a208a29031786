"""What a fault is, and what came of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.rig import FaultRig, Remote


@dataclass(frozen=True, slots=True)
class Setting:
    """What a rig is to be made of, other than usual.

    ``options`` and ``environment`` are further ones of ``rtelasto run``; ``remote`` says where the scanner
    stands, if not on this machine.
    """

    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    remote: Remote | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for things to go wrong.

    Attributes
    ----------
    name, about
        What the table calls it, and what exactly is done.
    inflict
        Does it, given the rig and for how long a fault that lasts is to last, in s; returns when it was over,
        monotonic ns.
    counters
        Counters of the run that must have risen by it, each by more than 0.
    setting
        Makes ready what ``rtelasto run`` is to be given, in a scratch folder; a fault with a setting gets a
        run of its own.
    new_run
        Whether the run that is there afterwards is another one, whose counters begin at 0.
    needs
        Says why it cannot be tried here; empty where it can.
    lossless
        Whether every frame has to become strain all the same.
    kills_sender, kills_run
        Whether frames may go down with the process that was sending them, which nobody can count.
    """

    name: str
    about: str
    inflict: Callable[[FaultRig, float], int]
    counters: tuple[str, ...] = ()
    setting: Callable[[Path], AbstractContextManager[Setting]] | None = None
    new_run: bool = False
    needs: Callable[[], str] = lambda: ""
    lossless: bool = False
    kills_sender: bool = False
    kills_run: bool = False


@contextmanager
def rig_of(fault: Fault, folder: Path, **usual: Any) -> Iterator[FaultRig]:
    """A rig as the fault wants it, and for the rest as `FaultRig` is told by ``usual``."""
    with ExitStack() as stack:
        setting = Setting()
        if fault.setting is not None:
            setting = stack.enter_context(fault.setting(folder))
        yield stack.enter_context(
            FaultRig(
                folder,
                options=setting.options,
                environment=setting.environment,
                remote=setting.remote,
                **usual,
            )
        )


def needs_posix() -> str:
    """Signals that stop and kill a process."""
    return "" if sys.platform != "win32" else "needs POSIX signals"


def needs_linux() -> str:
    """Limits of another process."""
    return "" if sys.platform == "linux" else "needs Linux"


def needs_compiler() -> str:
    """A C++ compiler, for the kernels' host build."""
    return "" if shutil.which("c++") else "needs a C++ compiler"


def needs_mount() -> str:
    """A file system of its own that can be filled up."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, to mount a small disk"
    return ""
