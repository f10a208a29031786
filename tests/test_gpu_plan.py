"""Plans without a GPU: building ahead of time, the cache, and what is said where there is no GPU."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from rtelasto.errors import RtelastoError
from rtelasto.gpu import engine, plan, plan_cache
from rtelasto.gpu.plan import build_plan
from rtelasto.gpu.plan_cache import PlanKey, cached_plan, read_plan
from rtelasto.gpu.probe import installed
from rtelasto_engines import shipped_models

MODELS = shipped_models()
KEY = PlanKey("cnn", "0" * 64, "tensorrt", "11.4", "Some GPU", "13.0", "fp16", (128, 2608))

needs_rtx = pytest.mark.skipif(
    not installed("tensorrt_rtx"),
    reason="tensorrt-rtx is not installed (pip install '.[gpu-test]')",
)


@pytest.mark.slow
@needs_rtx
@pytest.mark.parametrize("target", ["7.5", "8.6", "8.9", "12.0"])
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("name", MODELS)
def test_shipped_networks_build_ahead_of_time(name: str, precision: str, target: str) -> None:
    model = MODELS[name]
    path = model.half_path if precision == "fp16" else model.path
    if not path.exists():
        pytest.skip(f"{name} has no half-precision variant")
    phases: list[tuple[float, str]] = []
    built = build_plan(
        path.read_bytes(),
        (128, 2608),
        "tensorrt_rtx",
        target=target,
        progress=lambda done, phase: phases.append((done, phase)),
    )
    assert len(built) > 100_000
    assert phases
    assert all(0.0 <= done <= 1.0 for done, _ in phases)


@needs_rtx
def test_what_cannot_be_built_is_refused_in_one_line() -> None:
    good = MODELS["cnn"].path.read_bytes()
    with pytest.raises(RtelastoError, match=r"target 9\.0"):
        build_plan(good, (64, 512), "tensorrt_rtx", target="9.0")
    with pytest.raises(RtelastoError, match="tensorrt_rtx cannot read") as caught:
        build_plan(b"rubbish", (64, 512), "tensorrt_rtx", target="8.6")
    assert "\n" not in str(caught.value)
    value = helper.make_tensor_value_info("pre", TensorProto.FLOAT, ["lines", "samples"])
    node = helper.make_node("Nonsense", ["pre"], ["out"], domain="nowhere")
    graph = helper.make_graph([node], "g", [value], [])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nowhere", 1)]
    unknown = helper.make_model(graph, opset_imports=opsets)
    with pytest.raises(RtelastoError, match="cannot read the network"):
        build_plan(unknown.SerializeToString(), (64, 512), "tensorrt_rtx", target="8.6")


def _names_used(*modules: object) -> set[str]:
    """Every attribute that the modules take of TensorRT's objects, and every keyword they give."""
    names: set[str] = set()
    for module in modules:
        tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
    return names


# Of TensorRT, in the order in which a plan meets them.
TENSORRT_NAMES = {
    "Logger", "Builder", "create_network", "NetworkDefinitionCreationFlag", "STRONGLY_TYPED",
    "OnnxParser", "parse", "num_errors", "get_error", "create_builder_config", "clear_flag",
    "BuilderFlag", "TF32", "max_aux_streams", "create_optimization_profile", "set_shape",
    "add_optimization_profile", "create_timing_cache", "set_timing_cache", "get_timing_cache",
    "progress_monitor", "IProgressMonitor", "build_serialized_network", "Runtime",
    "deserialize_cuda_engine", "create_execution_context", "ExecutionContextAllocationStrategy",
    "USER_MANAGED", "device_memory_size_v2", "set_device_memory", "set_input_shape",
    "set_tensor_address", "execute_async_v3",
}  # fmt: skip
GONE_IN_11 = {
    "FP16", "BF16", "INT8", "FP8", "EXPLICIT_BATCH", "int8_calibrator", "device_memory_size",
    "set_calibration_profile", "PREFER_PRECISION_CONSTRAINTS", "OBEY_PRECISION_CONSTRAINTS",
}  # fmt: skip


def test_nothing_that_tensorrt_11_removed_is_used() -> None:
    used = _names_used(plan, engine)
    assert used >= TENSORRT_NAMES
    assert not used & GONE_IN_11


def test_tensorrt_11_has_every_name_used() -> None:
    """In its bindings as published; they cannot be imported without the library behind them."""
    spec = importlib.util.find_spec("tensorrt_bindings")
    if spec is None or spec.origin is None:
        pytest.skip("tensorrt-cu13-bindings is not installed (see .ci/run)")
    binary = next(Path(spec.origin).parent.glob("tensorrt.*"))
    contents = b"".join(
        path.read_bytes() for path in binary.parent.glob("tensorrt.*") if path.suffix != ".pyi"
    )
    assert not [name for name in TENSORRT_NAMES if name.encode() + b"\0" not in contents]


@needs_rtx
def test_tensorrt_rtx_has_every_name_used() -> None:
    trt = importlib.import_module("tensorrt_rtx")
    classes = [
        trt,
        *(getattr(trt, name) for name in dir(trt) if inspect.isclass(getattr(trt, name))),
    ]
    known = {name for owner in classes for name in dir(owner)}
    assert known >= TENSORRT_NAMES | {"REQUIRE_USER_ALLOCATION", "is_stream_capturable"}


def _published_stubs(folder: Path) -> None:
    """Of TensorRT 10, as published; the few signatures in them that are not Python are put right."""
    for name in ("tensorrt", "tensorrt_bindings"):
        spec = importlib.util.find_spec(name)
        roots = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
        stubs = [path for root in roots for path in root.glob("*.pyi")]
        if not stubs:
            pytest.skip("tensorrt-stubs is not installed (see .ci/run)")
        (folder / name).mkdir()
        for path in stubs:
            (folder / name / path.name).write_text(_readable(path.read_text()))


def _stubs_of_rtx(folder: Path) -> None:
    """Made from the signatures of the RTX library, which is of TensorRT 11's generation."""
    if not installed("tensorrt_rtx"):
        pytest.skip("tensorrt-rtx is not installed (pip install '.[gpu-test]')")
    module = "tensorrt_rtx_bindings.tensorrt_rtx"
    program = (
        f"from mypy.stubgen import main; main(['-q', '-m', {module!r}, '-o', {str(folder)!r}])"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    stub = next(folder.rglob("tensorrt_rtx.pyi"))
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.pyi").write_text(_readable(stub.read_text()))


def _readable(stub: str) -> str:
    lines = [line for line in stub.splitlines() if "def add_scale_nd(" not in line]
    return (
        "\n".join(lines)
        .replace("(self, in: ", "(self, in_: ")
        .replace(": IPluginV3, in: ", ": IPluginV3, in_: ")
    )


@pytest.mark.slow
@pytest.mark.parametrize("stubs", [_published_stubs, _stubs_of_rtx], ids=["10", "11"])
def test_the_code_type_checks_against_tensorrt(
    tmp_path: Path, stubs: Callable[[Path], None]
) -> None:
    folder = tmp_path / "stubs"
    folder.mkdir()
    stubs(folder)
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import tensorrt as trt\nflag = trt.BuilderFlag.NO_SUCH_FLAG\n")
    files = [str(inspect.getfile(plan)), str(inspect.getfile(engine)), str(wrong)]
    options = ["--ignore-missing-imports", "--follow-imports=silent", "--no-incremental"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", *options, *files],
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": str(folder)},
        cwd=tmp_path,
    )
    complaints = [
        line
        for line in done.stdout.splitlines()
        if ": error:" in line and not line.startswith("stubs")
    ]
    assert len(complaints) == 1, "\n".join(complaints) + done.stderr
    assert "wrong.py:2" in complaints[0]
    assert "NO_SUCH_FLAG" in complaints[0]


def test_a_plan_is_built_once(tmp_path: Path) -> None:
    built, path = cached_plan(KEY, lambda: b"plan", folder=tmp_path)
    assert built == b"plan"
    assert "cnn-fp16-128x2608-tensorrt" in path.name
    again, _ = cached_plan(KEY, never, folder=tmp_path)
    assert again == b"plan"
    rebuilt, _ = cached_plan(KEY, lambda: b"new", folder=tmp_path, rebuild=True)
    assert rebuilt == read_plan(path, KEY) == b"new"
    assert not [file for file in tmp_path.iterdir() if file.suffix not in (".plan", ".lock")]


def never() -> bytes:
    raise AssertionError("built again")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("onnx_sha256", "1" * 64),
        ("runtime", "tensorrt_rtx"),
        ("runtime_version", "10.13"),
        ("gpu", "Another GPU"),
        ("driver", "12.9"),
        ("precision", "fp32"),
        ("shape", (64, 2608)),
    ],
)
def test_a_stale_or_foreign_plan_is_built_anew(tmp_path: Path, field: str, value: object) -> None:
    other = PlanKey(**{**{name: getattr(KEY, name) for name in KEY.__slots__}, field: value})
    _, path = cached_plan(other, lambda: b"other", folder=tmp_path)
    # Even under the name of the one that is wanted, as a folder copied by hand may have it.
    path.rename(tmp_path / KEY.file_name)
    built, _ = cached_plan(KEY, lambda: b"mine", folder=tmp_path)
    assert built == b"mine"


@pytest.mark.parametrize("damage", ["cut", "flip", "header", "empty", "other"])
def test_a_damaged_plan_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    _, path = cached_plan(KEY, lambda: b"plan" * 100, folder=tmp_path)
    contents = bytearray(path.read_bytes())
    if damage == "cut":
        del contents[-10:]
    elif damage == "flip":
        contents[-5] ^= 1
    elif damage == "header":
        contents[20:30] = b"x" * 10
    elif damage == "empty":
        contents.clear()
    else:
        contents[:] = b"\x7fELF not a plan"
    path.write_bytes(contents)
    with pytest.raises(RtelastoError, match="the plan is corrupt") as caught:
        cached_plan(KEY, never, folder=tmp_path)
    assert path.name in str(caught.value)
    assert "--rebuild" in str(caught.value)
    assert cached_plan(KEY, lambda: b"sound", folder=tmp_path, rebuild=True)[0] == b"sound"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plans").write_text("a file")
    with pytest.raises(RtelastoError, match="plans"):
        cached_plan(KEY, lambda: b"plan", folder=tmp_path / "plans")


def _build_noting_it(folder: Path, start: object) -> bytes:
    def build() -> bytes:
        with (folder / "builds").open("a") as notes:
            notes.write("built\n")
        return b"plan" * 1_000_000

    start.wait()  # type: ignore[attr-defined]
    return plan_cache.cached_plan(KEY, build, folder=folder)[0]


@pytest.mark.slow
def test_processes_that_want_one_plan_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(3) as pool:
        start = manager.Barrier(3)
        plans = pool.starmap(_build_noting_it, [(tmp_path, start)] * 3)
    assert {len(built) for built in plans} == {4_000_000}
    assert (tmp_path / "builds").read_text() == "built\n"


def test_half_precision_files_belong_to_the_networks_beside_them() -> None:
    import hashlib

    assert MODELS["cnn"].half_path.exists()
    for model in MODELS.values():
        if not model.half_path.exists():
            continue
        half = onnx.load(model.half_path)
        properties = {entry.key: entry.value for entry in half.metadata_props}
        wanted = hashlib.sha256(model.path.read_bytes()).hexdigest()
        assert properties["source_sha256"] == wanted, (
            f"{model.half_path} was made from another {model.name}.onnx: "
            "run python -m rtelasto_engines.half"
        )
