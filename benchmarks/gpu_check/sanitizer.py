"""compute-sanitizer over the kernels of rtelasto, in a process of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from benchmarks.gpu_check.report import Bound, NotRun
from rtelasto.gpu.source import kernel_source

_TIMEOUT_S = 60.0


def sanitizer(tool: str) -> list[Bound]:
    """Run one tool over small frames; exit code 9 is that of the sanitizer for errors."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        raise NotRun("compute-sanitizer is not on the path (it comes with the CUDA toolkit)")
    names = re.findall(r"^KERNEL\((\w+),", kernel_source(), re.MULTILINE)
    # Kernels of CuPy and of its libraries are not ours to check, and take most of the time.
    chosen = [word for name in names for word in ("--kernel-name", f"kne={name}")]
    command = [program, "--tool", tool, "--error-exitcode", "9", *chosen]
    command += [sys.executable, "-m", "benchmarks.gpu_check", "--run-kernels"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise NotRun(f"{tool} took more than {_TIMEOUT_S:.0f} s") from None
    if done.returncode not in (0, 9):
        said = (done.stderr or done.stdout).strip()[-300:]
        raise NotRun(f"{tool} ended with code {done.returncode}: {said}")
    summary = [line for line in done.stdout.splitlines() if "ERROR SUMMARY" in line]
    return [Bound(f"{tool} exit code; {summary[-1] if summary else ''}", done.returncode, limit=0)]
