"""Shared by all tests."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import browser
import host_cuda
import hypothesis
import pytest
from host_kernels import compile_for_host

from rtelasto.errors import RtelastoError
from rtelasto.gpu import kernels
from rtelasto.gpu.probe import find_cupy_a_folder, find_gpu
from rtelasto.telemetry.logs import LimitedHandler

# What the processes of a test print is read as UTF-8, whatever this terminal's code page; tests of others say
# which. And some tests import CuPy, which a home that cannot be written ends.
os.environ["PYTHONIOENCODING"] = "utf-8"
find_cupy_a_folder()
# Tests send Ctrl-C to commands, which inherit from a suite started in the background that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: on a busy machine an example may take seconds.
hypothesis.settings.register_profile("rtelasto", deadline=None)
hypothesis.settings.load_profile("rtelasto")

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """``shared_data(name)``: the path of a real recording, or a skip where it is not there."""

    def find(name: str) -> Path:
        path = _SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"shared data {name} is not on this machine")
        return path

    return find


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The GPU's kernels, compiled once for the host; skips if there is no C++ compiler."""
    return compile_for_host(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def simulated_device(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A simulated CUDA device in place of CuPy (`host_cuda`)."""
    host_cuda.install(library, monkeypatch)
    yield
    kernels._module.cache_clear()


@pytest.fixture
def no_gpu() -> None:
    """Skips where there is a GPU."""
    with suppress(RtelastoError):
        find_gpu()
        pytest.skip("there is a GPU")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser in which tests see the viewer's page."""
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def exported_second_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Path]:
    """The second network with random weights, and its ONNX file: exporting it takes minutes."""
    torch = pytest.importorskip("torch", reason="exporting needs the extra 'train'")
    pytest.importorskip("onnxscript", reason="exporting needs the extra 'train'")
    from rtelasto_engines.export import export
    from rtelasto_engines.network.cnn2 import Cnn2

    torch.manual_seed(5)
    network = Cnn2()
    with torch.no_grad():
        for parameter in network.strain_stage.parameters():
            # The heads start from zeros, with which half of the network would do nothing.
            if not parameter.any():
                parameter.normal_(0.0, 0.05)
    path = tmp_path_factory.mktemp("network") / "second.onnx"
    export(network.eval(), path, {})
    return network, path


@pytest.fixture(autouse=True)
def _a_command_ends_with_its_test() -> Iterator[None]:
    """Take down what a command that was run within the test's process leaves behind.

    Its log handler writes to what was stderr in that test, which is closed by the time that a later test
    logs; its log level lets a later test see more lines than alone; and its hook would end the process of the
    tests with the first thread that fails.
    """
    hook, root = threading.excepthook, logging.getLogger()
    level = root.level
    yield
    threading.excepthook = hook
    root.setLevel(level)
    for handler in [found for found in root.handlers if isinstance(found, LimitedHandler)]:
        root.removeHandler(handler)
        handler.close()
