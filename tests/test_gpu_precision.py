"""The refinement of a motion on a GPU: in single precision, which every GPU does at its full rate."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from rtelasto.gpu.source import kernel_source


@pytest.fixture(scope="module")
def refine() -> Counter[str]:
    """Instructions of the kernel `refine` by name, for an RTX 40 card."""
    bindings = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        _, program = bindings.nvrtcCreateProgram(kernel_source().encode(), b"k.cu", 0, [], [])
    except Exception as error:  # cuda-pathfinder raises its own types
        pytest.skip(f"NVRTC is not installed ({type(error).__name__})")
    options = [b"--std=c++17", b"--gpu-architecture=compute_89"]
    (result,) = bindings.nvrtcCompileProgram(program, len(options), options)
    assert result == bindings.nvrtcResult.NVRTC_SUCCESS
    _, size = bindings.nvrtcGetPTXSize(program)
    text = b" " * size
    bindings.nvrtcGetPTX(program, text)
    start = text.decode().index(".entry refine(")
    body = text.decode()[start:].split(".entry ", 2)[1]
    return Counter(re.findall(r"^\s*(?:@!?%p\d+ )?([a-z]+\.[\w.]+)", body, re.MULTILINE))


def test_little_is_divided_in_double_precision(refine: Counter[str]) -> None:
    """Only for each line of a block, and for the score in the end."""
    by_type = Counter[str]()
    for name, n in refine.items():
        if name.startswith(("div", "sqrt")):
            by_type[name.rpartition(".")[2]] += n
    assert by_type["f64"] <= 5
    assert by_type["f32"] > by_type["f64"]


def test_little_is_multiplied_in_double_precision(refine: Counter[str]) -> None:
    by_type = Counter[str]()
    for name, n in refine.items():
        if name.startswith(("fma", "mul", "div", "sqrt")):
            by_type[name.rpartition(".")[2]] += n
    assert by_type["f64"] < 0.1 * by_type["f32"]
