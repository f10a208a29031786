"""Definition of a fault."""

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
    """The settings of a rig that differ from the defaults.

    ``options`` and ``environment`` are additional ones of ``rtelasto run``; ``remote`` is the scanner if it
    is not on this machine.
    """

    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    remote: Remote | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes
    ----------
    name, about
        Its name in the table, and a description of what is done.
    inflict
        Inflicts the fault on a rig, given the duration of lasting faults in s; returns the time of its end,
        monotonic ns.
    counters
        Counters of the run that the fault must increase.
    setting
        Prepares the settings of ``rtelasto run`` in a scratch folder; a fault with a setting gets a separate
        run.
    new_run
        Whether the fault ends with a new run, whose counters begin at 0.
    needs
        Returns why the fault cannot be tried here; empty if it can.
    lossless
        Whether every frame must become strain despite the fault.
    kills_sender, kills_run
        Whether frames may be lost with the process that was sending them, which no counter can include.
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
    """Open a rig with the setting of the fault, and ``usual`` as the other arguments of `FaultRig`."""
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
    """Require signals that stop and kill a process."""
    return "" if sys.platform != "win32" else "needs POSIX signals"


def needs_linux() -> str:
    """Require limits on another process."""
    return "" if sys.platform == "linux" else "needs Linux"


def needs_compiler() -> str:
    """Require a C++ compiler, for the host build of the kernels."""
    return "" if shutil.which("c++") else "needs a C++ compiler"


def needs_mount() -> str:
    """Require a separate file system that can be filled."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, to mount a small disk"
    return ""
