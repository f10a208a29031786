"""The least time that a pair can take on a machine: required data and operations over measured rates.

The floor of a frame is the larger of two times: that of the bytes that every implementation must move (the
two RF frames, the weights, the two output images) at the copy rate of the machine, and that of the operations
of the graph and of the resampling before it at the matrix-multiplication rate of the machine. It assumes that
everything else stays in registers and that moving and computing overlap perfectly, so no implementation
reaches it. time / floor shows how far an implementation is from the limit of the hardware.
`GraphWork.layered_s` is the same figure for a runtime that writes the output of every layer to memory.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from rtelasto.bench.rates import Rates, cpu_rates, gpu_rates
from rtelasto.frames.rf import RfFormat
from rtelasto.host.threads import available_cores
from rtelasto.pipeline.devices import choose
from rtelasto.pipeline.engines import model_path

_ITEM_BYTES = {"float": 4, "float16": 2, "int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1}
# Multiplications and additions per sample of the 12-tap filter that resamples the post-compression frame.
_RESAMPLING_OPERATIONS = 24
_INT16_BYTES = 2
# Nodes without computation: their data is counted at the node that reads it.
_BOOKKEEPING = ("Shape", "Gather", "Reshape", "Squeeze", "Unsqueeze", "Constant", "Cast")


@dataclass(frozen=True, slots=True)
class LayerWork:
    """One node of a graph: operations, and bytes read and written if its tensors go through memory."""

    operation: str
    operations: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GraphWork:
    """The work of a graph for one pair of frames.

    ``operations`` are counted with the shapes for these frames: two per multiplication with a weight, one per
    output element of every other node. ``least_bytes`` are the bytes that every implementation must move:
    both frames as int16, the weights once, both output images.
    """

    operations: int
    least_bytes: int
    weight_bytes: int
    layers: tuple[LayerWork, ...]

    def floor_s(self, rates: Rates) -> float:
        """The floor of a pair in seconds."""
        return max(self.moving_s(rates), self.computing_s(rates))

    def moving_s(self, rates: Rates) -> float:
        """Seconds for the least bytes."""
        return self.least_bytes / rates.copy_bytes_s

    def computing_s(self, rates: Rates) -> float:
        """Seconds for the operations."""
        return self.operations / rates.multiply_ops_s

    def layered_s(self, rates: Rates) -> float:
        """The floor if tensors of every node go through memory: the sum of the larger time of each node."""
        return sum(
            max(layer.bytes / rates.copy_bytes_s, layer.operations / rates.multiply_ops_s)
            for layer in self.layers
        )


def graph_work(model: Path, rf_format: RfFormat) -> GraphWork:
    """Return the work of an engine's graph (``docs/engines.md``) and of the stretch on frames of a format.

    The graph is run once, without optimisation, with profiling on, and the runtime reports the shapes of
    every node. A graph with dynamic axes then needs no separate shape inference.
    """
    nodes = _profile(model, rf_format)
    layers, weight_bytes = [], 0
    for arguments in nodes:
        weight_bytes += int(arguments["parameter_size"])
        if arguments["op_name"] not in _BOOKKEEPING:
            layers.append(_layer(arguments))
    pixels = rf_format.n_lines * rf_format.n_samples
    outputs = sum(_size(shape) for shape in _output_shapes(model, rf_format))
    return GraphWork(
        operations=sum(layer.operations for layer in layers) + _RESAMPLING_OPERATIONS * pixels,
        least_bytes=2 * _INT16_BYTES * pixels + weight_bytes + 4 * outputs,
        weight_bytes=weight_bytes,
        layers=tuple(layers),
    )


def _inputs(rf_format: RfFormat) -> dict[str, Any]:
    shape = (2, rf_format.n_lines, rf_format.n_samples)
    pre, post = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return {"pre": pre, "post": post}


def _output_shapes(model: Path, rf_format: RfFormat) -> list[tuple[int, ...]]:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return [output.shape for output in session.run(None, _inputs(rf_format))]


def _profile(model: Path, rf_format: RfFormat) -> list[dict[str, Any]]:
    """Return the runtime's profile of every node in one run of the graph without optimisations."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        session.run(None, _inputs(rf_format))
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return [
        event["args"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]


def _size(shape: tuple[int, ...] | list[int]) -> int:
    return math.prod(shape)


def _tensors(listed: list[dict[str, list[int]]]) -> list[tuple[str, list[int]]]:
    return [(kind, shape) for entry in listed for kind, shape in entry.items()]


def _layer(arguments: dict[str, Any]) -> LayerWork:
    inputs, outputs = (
        _tensors(arguments["input_type_shape"]),
        _tensors(arguments["output_type_shape"]),
    )
    moved = sum(_ITEM_BYTES.get(kind, 4) * _size(shape) for kind, shape in (*inputs, *outputs))
    return LayerWork(
        arguments["op_name"], _operations(arguments["op_name"], inputs, outputs), moved
    )


def _operations(
    name: str, inputs: list[tuple[str, list[int]]], outputs: list[tuple[str, list[int]]]
) -> int:
    """Return the operations of a node, computed from its shapes alone."""
    elements = sum(_size(shape) for _, shape in outputs)
    if (
        name == "Conv"
    ):  # weight (outputs, inputs / groups, height, width): one product each per output
        return 2 * elements * _size(inputs[1][1][1:])
    if name == "ConvTranspose":  # weight (inputs, outputs / groups, height, width)
        return 2 * _size(inputs[0][1]) * _size(inputs[1][1][1:])
    if name in ("MatMul", "Gemm"):
        rows = outputs[0][1][0] if name == "Gemm" else _size(outputs[0][1][:-1])
        return 2 * elements * (_size(inputs[0][1]) // max(rows, 1))
    # Moving data is not counted; a sliding pooling window needs one addition per output.
    return 0 if name in ("Slice", "Concat", "Pad", "Transpose", "Split") else elements


@dataclass(frozen=True, slots=True)
class Floor:
    """The work of an engine and the rates of a device, which give the floor."""

    work: GraphWork
    rates: Rates

    @property
    def floor_s(self) -> float:
        return self.work.floor_s(self.rates)

    def figures(self) -> dict[str, float]:
        """All inputs of the floor, for a file."""
        return {
            "floor_ms": 1e3 * self.floor_s,
            "layered_floor_ms": 1e3 * self.work.layered_s(self.rates),
            "operations": self.work.operations,
            "least_bytes": self.work.least_bytes,
            "weight_bytes": self.work.weight_bytes,
            "copy_bytes_s": self.rates.copy_bytes_s,
            "multiply_ops_s": self.rates.multiply_ops_s,
        }


def engine_floor(engine: str, rates: Rates) -> Floor | None:
    """Return the floor of an engine on 2608 × 128 frames; None if it is not a network."""
    from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT

    model = model_path(engine)
    return None if model is None else Floor(graph_work(model, PUBLISHED_FORMAT), rates)


def rates_of(engine: str, device: str = "auto", threads: int | None = None) -> Rates:
    """Measure the rates of an engine's device: the GPU in half precision, or this many cores.

    None means all cores that this process may use.
    """
    if choose(engine, device).device == "gpu":
        return gpu_rates()
    return cpu_rates(threads or available_cores())


def describe_floor(floor: Floor) -> dict[str, str]:
    """Return the rows of a table that explains the floor."""
    work, rates = floor.work, floor.rates
    return {
        "copy rate": f"{rates.copy_bytes_s / 1e9:.1f} GB/s read and written",
        "multiply rate": f"{rates.multiply_ops_s / 1e9:.0f} GFLOP/s",
        "must move": f"{work.least_bytes / 1e6:.2f} MB, {1e3 * work.moving_s(rates):.2f} ms",
        "must compute": f"{work.operations / 1e9:.2f} GFLOP, {1e3 * work.computing_s(rates):.2f} ms",
        "floor": f"{1e3 * floor.floor_s:.2f} ms a frame",
        "floor if layers go through memory": f"{1e3 * work.layered_s(rates):.2f} ms a frame",
    }
