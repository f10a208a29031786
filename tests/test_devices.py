"""Which device an engine runs on, and what is said where there is no GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import processes
import pytest

from rtelasto.api import estimate
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.gpu.engine import OrtEngine, PlanEngine
from rtelasto.gpu.probe import RUNTIMES, find_gpu, installed
from rtelasto.gpu.runtimes import open_gpu_engine, plan_library, runtime_states
from rtelasto.pipeline.devices import choose, network_files, open_estimator
from rtelasto.settings import EstimateSettings
from rtelasto_engines import shipped_models

CNN = shipped_models()["cnn"]


def has_gpu() -> bool:
    try:
        find_gpu()
    except RtelastoError:
        return False
    return True


without_gpu = pytest.mark.usefixtures("no_gpu")


@without_gpu
def test_without_a_gpu_the_cpu_is_taken_and_the_reason_given() -> None:
    choice = choose("cnn")
    assert choice.device == "cpu"
    (reason,) = choice.reasons
    assert "GPU" in reason
    assert open_estimator("cnn").device == "cpu"


@pytest.mark.parametrize("engine", ["ncc", "am"])
def test_classical_engines_run_on_the_cpu(engine: str) -> None:
    assert choose(engine).device == "cpu"
    with pytest.raises(RtelastoError, match=f"{engine} runs on the CPU only"):
        choose(engine, "gpu")


def test_the_cpu_can_be_insisted_on() -> None:
    assert choose("cnn", "cpu").reasons == ("the CPU was requested",)


def test_devices_are_checked_by_name() -> None:
    with pytest.raises(RtelastoError, match=r"device must be one of auto, cpu, gpu.*'tpu'"):
        choose("cnn", "tpu")
    with pytest.raises(RtelastoError, match="device must be one of"):
        EstimateSettings(device="tpu")
    with pytest.raises(RtelastoError, match="library must be one of"):
        plan_library("magic")


@without_gpu
@pytest.mark.parametrize("device", ["gpu", *RUNTIMES])
def test_a_gpu_that_is_insisted_on_and_missing_is_one_line(device: str) -> None:
    with pytest.raises(RtelastoError, match=f"device {device}: .*GPU") as caught:
        open_estimator("cnn", device=device)
    assert "\n" not in str(caught.value)


@without_gpu
@pytest.mark.parametrize(
    "start",
    [
        find_gpu,
        lambda: PlanEngine(b"plan", "tensorrt_rtx"),
        lambda: PlanEngine(b"plan", "tensorrt"),
        lambda: OrtEngine(CNN.path),
        lambda: open_gpu_engine(CNN.path, CNN.half_path, (128, 2608), RUNTIMES),
    ],
)
def test_without_a_gpu_every_entry_point_says_so_in_one_line(start) -> None:  # type: ignore[no-untyped-def]
    """TensorRT's runtime would end the process here, were it made."""
    with pytest.raises(RtelastoError, match="GPU") as caught:
        start()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@without_gpu
@pytest.mark.parametrize(
    "arguments",
    [
        ("engines", "build"),
        ("engines", "build", "--library", "tensorrt_rtx"),
        ("run", "--device", "gpu"),
        ("run", "--device", "tensorrt_rtx"),
    ],
)
def test_commands_without_a_gpu_end_in_one_line(arguments: tuple[str, ...]) -> None:
    done = processes.finish(*arguments)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("rtelasto: ")]
    assert "GPU" in line
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("engines", "build", "ncc"), "ncc"),
        (("engines", "build", "missing.onnx"), "missing.onnx"),
        (("engines", "build", "--lines", "1"), "lines"),
        (("engines", "build", "--samples", "1e6"), "samples"),
        (("run", "--device", "tpu"), "tpu"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[str, ...], named: str) -> None:
    done = processes.finish(*arguments)
    assert done.returncode == 2
    assert named in done.stderr.strip().splitlines()[-1]


def test_every_runtime_has_a_state_that_says_what_to_do() -> None:
    states = runtime_states()
    assert tuple(states) == RUNTIMES
    assert all(not state or "pip" in state for state in states.values())


def test_type_stubs_are_not_taken_for_a_library() -> None:
    assert not installed("tensorrt_that_is_not_there")
    assert installed("numpy")
    spec = importlib.util.find_spec("tensorrt")
    if spec is not None and spec.origin is None:
        assert not installed("tensorrt")


def test_networks_have_files_and_others_do_not(tmp_path: Path) -> None:
    path, half_path = network_files("cnn")
    assert (path, half_path) == (CNN.path, CNN.half_path)
    mine = str(tmp_path / "mine.onnx")
    assert network_files(mine) == (Path(mine), None)
    with pytest.raises(RtelastoError, match="'am'"):
        network_files("am")


def test_the_python_api_takes_a_device() -> None:
    rf_format = RfFormat(
        n_lines=16, n_samples=512, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
    )
    frames = np.random.default_rng(0).standard_normal((2, 16, 512))
    on_cpu = estimate(*frames, rf_format, device="cpu")
    assert on_cpu.axial_strain.shape == (16, 128)
    if not has_gpu():
        with pytest.raises(RtelastoError, match="device gpu"):
            estimate(*frames, rf_format, device="gpu")


@pytest.mark.slow
@without_gpu
def test_doctor_says_where_networks_run_and_why() -> None:
    done = processes.finish("doctor", "--pairs", "1")
    assert done.returncode == 0
    said = done.stdout.partition("Networks run on: cpu")[2]
    assert "GPU" in said
