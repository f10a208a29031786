"""Runs the bridge in a real Octave process."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.frames.strain import StrainFrame
from rtelasto.live.run import LiveRun
from rtelasto.settings import RunSettings

BRIDGE = Path(__file__).resolve().parents[2] / "bridge"
SCRIPTS = Path(__file__).parents[1] / "octave"


def build_bridge(folder: Path) -> Path:
    """Build the MEX in a copy of bridge/; skips if Octave or the header of libzmq is missing."""
    for program in ("octave-cli", "mkoctfile"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: octave, octave-dev, libzmq3-dev)")
    built = folder / "bridge"
    shutil.copytree(BRIDGE, built, ignore=shutil.ignore_patterns("*.mex*"))
    probe = subprocess.run(
        ["cc", "-xc", "-fsyntax-only", "-"],
        input="#include <zmq.h>\n",
        text=True,
        check=False,
        capture_output=True,
    )
    if probe.returncode:
        pytest.skip("zmq.h is not installed (Debian: libzmq3-dev)")
    output = run(built, "build();")
    assert "warning" not in output.lower(), output
    return built


def start(bridge: Path, code: str) -> subprocess.Popen[str]:
    """Start Octave with ``code``, and bridge/ and tests/octave/ on its path."""
    paths = f"addpath('{bridge}', '{bridge / 'verasonics'}', '{SCRIPTS}'); "
    return subprocess.Popen(
        ["octave-cli", "--quiet", "--no-init-file", "--no-history", "--eval", paths + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a successful exit, and return the output.

    At exit, Octave 7 prints "ignoring const execution_exception" after loading any MEX; this is harmless.
    """
    output, _ = process.communicate(timeout=WAIT_S)
    lines = [line for line in output.splitlines() if "execution_exception" not in line]
    assert process.returncode == 0, output
    return "\n".join(lines)


def run(bridge: Path, code: str) -> str:
    """Run ``code`` to its end."""
    return finish(start(bridge, code))


def strain_of(
    bridge: Path, code: str, n_frames: int, rf: str | None = None
) -> tuple[list[StrainFrame], str]:
    """Run code that sends to ``ENDPOINT``, which is ``rf`` or a free one, with `ncc` on it live: its strain
    frames, and its output.

    Pairs are consecutive: most lines of the simulated scanner see no tissue, so that adaptive pairing would
    refuse some.
    """
    strains: list[StrainFrame] = []
    settings = RunSettings(
        rf=rf or free_endpoint(),
        strain="tcp://127.0.0.1:0",
        engine="ncc",
        pair="consecutive",
        every=True,
        frames=n_frames,
    )
    with LiveRun(settings, on_strain=strains.append) as live:
        thread = threading.Thread(target=live.run)
        thread.start()
        output = run(bridge, code.replace("ENDPOINT", settings.rf))
        thread.join(WAIT_S)
    return strains, output


def tissue_of(strain: StrainFrame) -> NDArray[np.bool_]:
    """Return where a scanner of 8 mm of tissue, 10 mm deep, sees some well, (n_lines, n_depths)."""
    inside = np.abs(strain.grid.lateral_m[:, None]) < 3e-3
    return inside & (strain.grid.depth_m > 2e-3) & (strain.grid.depth_m < 9.5e-3)
