"""Faults of a real network: the scanner is in its own network namespace, at the end of a virtual cable.

As on a real network, both sides have keys. Delay is not among these faults: not every kernel has the queue
for it (netem), and ``of_link`` already delays data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import monotonic_ns

from benchmarks.faults.fault import Fault, Setting
from benchmarks.faults.rig import FaultRig, Remote

_HOST, _SCANNER = "10.213.77.1", "10.213.77.2"
_NAMESPACE = f"rtelasto-{os.getpid()}"
# At most 15 characters, and a different pair for every process that does this at the same time.
_NEAR, _FAR = f"near-{os.getpid()}", f"far-{os.getpid()}"
_PORT = 5555


def _ip(*arguments: str, inside: bool = False) -> None:
    there = ["ip", "netns", "exec", _NAMESPACE] if inside else []
    subprocess.run([*there, *arguments], check=True, capture_output=True, text=True)


@lru_cache(maxsize=1)
def needs_namespaces() -> str:
    """Require namespaces, virtual cables and a queue that limits the rate."""
    if not (shutil.which("ip") and shutil.which("tc")) or os.geteuid() != 0:
        return "needs root, ip and tc, for a network namespace"
    try:
        with _cable():
            _throttle(1e6)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        return f"needs network namespaces: {' '.join(reason.split())}"
    return ""


@contextmanager
def _cable() -> Iterator[None]:
    _ip("ip", "netns", "add", _NAMESPACE)
    try:
        _ip("ip", "link", "add", "name", _NEAR, "type", "veth", "peer", "name", _FAR)
        _ip("ip", "link", "set", _FAR, "netns", _NAMESPACE)
        for inside, name, address in ((False, _NEAR, _HOST), (True, _FAR, _SCANNER)):
            _ip("ip", "address", "add", f"{address}/30", "dev", name, inside=inside)
            _ip("ip", "link", "set", name, "up", inside=inside)
        yield
    finally:
        # Deleting the namespace of one end also deletes the cable.
        _ip("ip", "netns", "delete", _NAMESPACE)


def _throttle(bytes_per_s: float) -> None:
    rate = f"{8.0 * bytes_per_s:.0f}bit"
    queue = ["root", "tbf", "rate", rate, "burst", "64k", "latency", "100ms"]
    _ip("tc", "qdisc", "replace", "dev", _FAR, *queue, inside=True)


@contextmanager
def _network(folder: Path) -> Iterator[Setting]:
    """Set up a scanner on another machine, with keys on both."""
    keys = [sys.executable, "-m", "rtelasto", "keys"]
    host, scanner = str(folder / "host"), str(folder / "scanner")
    for made in ([host], [scanner]):
        _ip(*keys, *made)
    _ip(*keys, host, "--server", _SCANNER, f"{scanner}/own.key")
    _ip(*keys, scanner, "--allow", f"{host}/own.key")
    with _cable():
        remote = Remote(
            ("ip", "netns", "exec", _NAMESPACE), f"tcp://{_SCANNER}:{_PORT}", Path(scanner)
        )
        yield Setting(("--keys", host), remote=remote)


def _pulled(rig: FaultRig, long_s: float) -> int:
    _ip("ip", "link", "set", _FAR, "down", inside=True)
    time.sleep(long_s)
    _ip("ip", "link", "set", _FAR, "up", inside=True)
    return monotonic_ns()


def _narrow(rig: FaultRig, long_s: float) -> int:
    """Limit the rate to a third of what the frames need."""
    _throttle(2 * rig.rf_format.n_lines * rig.rf_format.n_samples * rig.fps / 3.0)
    time.sleep(2.0 * long_s)
    _ip("tc", "qdisc", "delete", "dev", _FAR, "root", inside=True)
    return monotonic_ns()


FAULTS = (
    Fault(
        "cable pulled",
        "a virtual cable between two network namespaces, with keys",
        _pulled,
        ("disconnected", "gaps"),
        setting=_network,
        needs=needs_namespaces,
    ),
    Fault(
        "network too narrow",
        "a third of the rate that frames need, by the kernel's queue, with keys",
        _narrow,
        ("gaps",),
        setting=_network,
        needs=needs_namespaces,
    ),
)
