"""Machines as they are: read-only folders, full disks, few cores."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes
import pytest

import rtelasto
import rtelasto_engines
from rtelasto.bench.stages import timing_frames
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.host.threads import limit_threads
from rtelasto.sinks.hdf5 import RecordingWriter

FORMAT = RfFormat(
    n_lines=48, n_samples=1024, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
# On a machine that does much else.
_COMPILING_S = 900.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "press.h5"
    with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
        for frame in timing_frames(FORMAT):
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def nowhere_to_write(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine on which no folder for compiled code can be made, by root either.

    Every place where such a folder would stand is taken by a file.
    """
    packages = tmp_path_factory.mktemp("packages")
    for name, package in (("rtelasto", rtelasto), ("rtelasto_engines", rtelasto_engines)):
        assert package.__file__ is not None
        shutil.copytree(
            Path(package.__file__).parent,
            packages / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for folder in [path for path in packages.rglob("*") if path.is_dir()]:
        folder.chmod(0o755)  # that of a checkout that cannot be written was copied too
        (folder / "__pycache__").touch()
    home = packages / "home"
    home.touch()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "CUPY_"))}
    environment |= {"PYTHONPATH": str(packages), "HOME": str(home), "USERPROFILE": str(home)}
    environment |= {"XDG_CACHE_HOME": str(home), "LOCALAPPDATA": str(home)}
    return environment


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return processes.finish(program=command, python=("-P",), timeout=_COMPILING_S, env=environment)


@pytest.mark.slow
def test_process_works_where_nothing_can_be_kept_and_says_once_why_it_is_slow(
    nowhere_to_write: dict[str, str], recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "strain.h5"
    done = run(nowhere_to_write, "-m", "rtelasto", "process", str(recording), "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert processes.table(done.stdout)["strain frames"] == "2"
    told = [line for line in done.stderr.splitlines() if "compiled code" in line]
    assert len(told) == 1
    assert "NUMBA_CACHE_DIR" in told[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "modules",
    [
        "rtelasto.offline.replay",
        "rtelasto.live.run",
        "rtelasto.offline.html_report",
        "rtelasto.bench.warm",
        "rtelasto_engines.simulate.pair",
    ],
)
def test_every_command_loads_where_nothing_can_be_kept(
    nowhere_to_write: dict[str, str], modules: str
) -> None:
    done = run(nowhere_to_write, "-c", f"import {modules}; print({modules}.__file__)")
    assert done.returncode == 0, done.stderr
    assert nowhere_to_write["PYTHONPATH"] in done.stdout


def test_no_kernel_is_compiled_past_the_one_place_that_copes_with_this() -> None:
    root = Path(rtelasto.__file__).parent
    for folder in (root, Path(rtelasto_engines.__file__).parent, Path(__file__).parent):
        for path in folder.rglob("*.py"):
            if path.name not in ("compiled.py", Path(__file__).name):
                assert "njit" not in path.read_text(encoding="utf-8"), path


ON_A_FULL_DISK = """
import resource
import numpy as np
from rtelasto.host.compiled import kernel, n_compiled
import logging
logging.basicConfig()
import doubled
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print(doubled.doubled(np.float32(2)), doubled.doubled(2), n_compiled())
"""
DOUBLED = """
from rtelasto.host.compiled import kernel

@kernel()
def doubled(x):
    return x + x
"""


def with_kernel(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "doubled.py").write_text(DOUBLED, "utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    return run(environment | {"PYTHONPATH": str(tmp_path)}, "-c", code)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit (POSIX)")
def test_a_full_disk_does_not_stop_what_was_compiled(tmp_path: Path) -> None:
    done = with_kernel(tmp_path, ON_A_FULL_DISK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["4.0", "4", "2"]
    assert done.stderr.count("cannot be cached") == 1


CALLED = (
    "from rtelasto.host.compiled import n_compiled; import doubled; "
    "print(doubled.doubled(2), n_compiled())"
)


@pytest.mark.slow
def test_compiled_code_that_a_power_cut_damaged_is_compiled_again(tmp_path: Path) -> None:
    assert with_kernel(tmp_path, CALLED).stdout.split() == ["4", "1"]
    assert with_kernel(tmp_path, CALLED).stdout.split() == ["4", "0"]
    for pattern in ("*.nbi", "*.nbc"):
        for path in (tmp_path / "__pycache__").glob(pattern):
            path.write_bytes(path.read_bytes()[:40])
        done = with_kernel(tmp_path, CALLED)
        assert done.stdout.split() == ["4", "1"], done.stderr
        assert with_kernel(tmp_path, CALLED).stdout.split() == ["4", "0"]


@pytest.mark.slow
def test_the_first_command_after_installing_says_why_it_takes_its_time(tmp_path: Path) -> None:
    done = with_kernel(tmp_path, "import logging; logging.basicConfig(level=20)\n" + CALLED)
    assert done.stderr.count("compiling for this processor") == 1
    assert "rtelasto doctor --warm" in done.stderr
    again = with_kernel(tmp_path, "import logging; logging.basicConfig(level=20)\n" + CALLED)
    assert "compiling" not in again.stderr


@pytest.mark.slow
def test_doctor_warm_leaves_nothing_to_compile_for_process(recording: Path, tmp_path: Path) -> None:
    environment = dict(os.environ)
    done = run(environment, "-m", "rtelasto", "doctor", "--warm")
    assert done.returncode == 0, done.stderr
    assert "cached in" in done.stdout
    code = (
        "import sys; from rtelasto.cli import main; from rtelasto.host.compiled import n_compiled\n"
        "main(sys.argv[1:]); print('compiled', n_compiled())"
    )
    for engine in ("cnn", "ncc", "am"):
        out = str(tmp_path / f"{engine}.h5")
        done = run(
            environment, "-c", code, "process", str(recording), "-o", out, "--engine", engine
        )
        assert "compiled 0" in done.stdout, done.stderr


THREADS = """
import json, sys, threading
from rtelasto.cli import main
main(sys.argv[1:])
import psutil
names = [thread.name for thread in threading.enumerate()]
print(json.dumps(sum(name.startswith("rtelasto-lines") for name in names)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["cnn", "ncc"])
def test_threads_limits_every_kernel_of_process(
    recording: Path, tmp_path: Path, engine: str
) -> None:
    for threads in (1, 3):
        out = str(tmp_path / f"{threads}.h5")
        arguments = ["process", str(recording), "-o", out, "--engine", engine]
        done = run(dict(os.environ), "-c", THREADS, *arguments, "--threads", str(threads))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == threads


@pytest.mark.slow
def test_threads_limits_the_simulator_too(tmp_path: Path) -> None:
    arguments = ["simulate", str(tmp_path / "press.h5"), "--frames", "2", "--threads", "1"]
    done = run(dict(os.environ), "-c", THREADS, *arguments, "--motion", "ideal")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("process", "x.h5", "-o", "y.h5"),
        ("report", "x.h5"),
        ("simulate", "x.h5"),
        ("demo",),
        ("doctor",),
        ("bench",),
        ("bench", "latency"),
        ("bench", "throughput"),
        ("bench", "accuracy"),
    ],
)
def test_threads_is_one_setting_for_all_commands(command: tuple[str, ...], tmp_path: Path) -> None:
    done = processes.finish(*command, "--threads", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "threads must lie in 1…1024, got 0" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_number_of_threads_that_is_none_is_refused() -> None:
    for threads in (0, -1, 1025):
        with pytest.raises(RtelastoError, match=str(threads)):
            limit_threads(threads)


def test_a_home_that_cannot_be_written_is_not_what_stands_between_us_and_the_gpu(
    nowhere_to_write: dict[str, str],
) -> None:
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("needs CuPy")
    code = (
        "from rtelasto.gpu.probe import find_gpu\n"
        "from rtelasto.errors import RtelastoError\n"
        "try:\n    print(find_gpu())\nexcept RtelastoError as error:\n    print(error)"
    )
    done = run(nowhere_to_write, "-c", code)
    assert done.returncode == 0, done.stderr
    assert ".cupy" not in done.stdout


def test_frames_are_described_by_name_only() -> None:
    with pytest.raises(TypeError):
        RfFormat(48, 1024, 40e6, 6.25e6, 2e-4)  # type: ignore[misc]
    assert np.shape(timing_frames(FORMAT)[0].samples) == (48, 1024)
