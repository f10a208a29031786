"""Octave with the bridge, which plays the scanner's side in benchmarks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def built_bridge(folder: Path) -> Path:
    """Build the MEX in a copy of bridge/; exits with a message if Octave is not installed."""
    if shutil.which("octave-cli") is None or shutil.which("mkoctfile") is None:
        sys.exit("octave-cli is not installed (Debian: octave, octave-dev, libzmq3-dev)")
    bridge = folder / "bridge"
    shutil.copytree(ROOT / "bridge", bridge, ignore=shutil.ignore_patterns("*.mex*"))
    octave(bridge, "build();").communicate()
    return bridge


def octave(bridge: Path, code: str, *, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Start Octave with ``code``, and the bridge and the scripts of the benchmarks on its path."""
    paths = f"addpath('{bridge}', '{bridge / 'verasonics'}', '{ROOT / 'benchmarks'}'); "
    return subprocess.Popen(
        ["octave-cli", "--quiet", "--no-init-file", "--eval", paths + code],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
