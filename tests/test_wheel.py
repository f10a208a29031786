"""What is installed: the wheel holds every module, and each of them loads from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="the wheel is built with setuptools, without the network")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"rtelasto": "rtelasto", "engines": "rtelasto_engines"}
IMPORT_EACH = """
import importlib, json, sys
import rtelasto, rtelasto_engines
failed = {}
for name in json.load(sys.stdin):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed[name] = error.name.partition(".")[0]
json.dump({"files": [rtelasto.__file__, rtelasto_engines.__file__], "failed": failed}, sys.stdout)
"""
# Of the extras, for a GPU, training and single formats: modules that need them may fail to load without.
OPTIONAL = {
    "cupy",
    "cupyx",
    "cuda",
    "tensorrt",
    "tensorrt_rtx",
    "mach",
    "torch",
    "onnx",
    "onnxscript",
}
OPTIONAL |= {
    "skfem",
    "pymust",
    "matplotlib",
    "starlette",
    "uvicorn",
    "websockets",
    "pyigtl",
    "openvino",
}
OPTIONAL |= {"prometheus_client", "pyuff_ustb", "hdf5plugin", "imageio_ffmpeg", "filelock"}
OPTIONAL |= {"platformdirs"}


def run(*command: object, **options: object) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=300.0,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, since building leaves files beside it: made as for a read-only checkout."""
    venv = tmp_path_factory.mktemp("venv")
    made = venv / "created.stamp", venv / "source"
    run("make", "-C", ROOT, f"VENV={venv}", "-o", made[0], made[1])
    return made[1]


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel")
    run(*pip, "--no-deps", "--no-index", "--no-build-isolation", "-w", out, source)
    (built,) = out.glob("rtelasto-*.whl")
    return built


def sources(source: Path) -> list[str]:
    """Every file under the two folders, as it is named in the wheel."""
    return sorted(
        (Path(package) / path.relative_to(source / folder)).as_posix()
        for folder, package in FOLDERS.items()
        for path in (source / folder).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    )


def test_the_wheel_holds_every_file_of_the_two_packages(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == set(sources(source))


def test_every_module_loads_from_an_installed_wheel(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    """Into an empty environment, with what rtelasto needs taken from this one."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    installed = Path(
        run(python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    # The folders alone: what an editable installation of rtelasto has hooked in there does not follow.
    folders = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (installed / "dependencies.pth").write_text("\n".join(folders) + "\n")
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in sources(source)
        if name.endswith(".py") and not name.endswith("/__main__.py")
    ]
    found = json.loads(run(python, "-I", "-c", IMPORT_EACH, input=json.dumps(modules)))
    assert all(Path(file).is_relative_to(installed) for file in found["files"]), found["files"]
    missing = {
        name: library for name, library in found["failed"].items() if library not in OPTIONAL
    }
    assert missing == {}
