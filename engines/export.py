"""Exports a trained network as ONNX and checks it against PyTorch.

python -m rtelasto_engines.export --checkpoint cnn.pt --out engines/models/cnn.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from rtelasto_engines.network import StrainNetwork, make_network
from rtelasto_engines.network.cnn2 import Cnn2, finished
from rtelasto_engines.network.tracking import Measurement

OPSET = 18
MEASURED = tuple(f"measured_{name}" for name in Measurement._fields)
"""The tensors between the stages: no graph may use a name twice, and stage 2 returns a displacement too."""


class _WholeFrame(nn.Module):
    """One pair without the batch axis, which engines do not use."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        return tuple(image[0] for image in self.network(pre[None], post[None]))


class _TrackingFrame(nn.Module):
    """Stage 1 of one pair: images (lines, depths of 8 samples), residual (2, lines, depths)."""

    def __init__(self, network: Cnn2) -> None:
        super().__init__()
        self.tracking = network.tracking

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        _, measured = self.tracking(pre[None], post[None])
        images = (measured.displacement, measured.lateral, measured.precision)
        return (*(image[0, 0] for image in images), measured.residual[0])


class _StrainFrame(nn.Module):
    """Stage 2 of one measurement; the output has twice its depths."""

    def __init__(self, network: Cnn2) -> None:
        super().__init__()
        self.strain_stage = network.strain_stage

    def forward(
        self, displacement: Tensor, lateral: Tensor, precision: Tensor, residual: Tensor
    ) -> tuple[Tensor, ...]:
        u, v, sure = (image[None, None] for image in (displacement, lateral, precision))
        result = self.strain_stage(Measurement(u, v, sure, residual[None]))
        return tuple(image[0] for image in finished(result, 2 * displacement.shape[-1]))


def export(network: StrainNetwork, path: Path, metadata: dict[str, str]) -> None:
    """Write ``network`` with dynamic lines and samples, and check it on two sizes.

    ``network`` has the attributes ``axial_stride`` and ``samples_per_wavelength``; they are written to the
    metadata together with ``metadata``.

    Raises
    ------
    AssertionError
        If ONNX Runtime and PyTorch differ by more than 1e-4 of the output's size, or an output is not finite,
        also where the echoes are silent.
    """
    frame = _WholeFrame(network).eval()
    # Use sizes that are not multiples of anything: if a size is a whole number of coarse pixels, the exporter
    # removes the crop to size, and the graph then fails for all other sizes.
    size = (67, 1003) if len(network.outputs) > 2 else (64, 512)
    example = torch.randn(size, generator=torch.Generator().manual_seed(0))
    _write(
        frame,
        {"pre": example, "post": example.roll(1, -1)},
        network.outputs,
        path,
        {**_metadata(network), **metadata},
    )
    _compare(frame, path, network.outputs)


def export_stages(network: Cnn2, path: Path, metadata: dict[str, str]) -> tuple[Path, Path]:
    """Write both stages of a network next to ``path`` and return their paths.

    ``NAME.tracking.onnx`` computes the images of a `Measurement`, named as in `MEASURED`, from ``pre`` and
    ``post``.
    ``NAME.strain.onnx`` computes the outputs of the whole network from these images, or from their average
    over pairs. It returns two depths for each depth of the measurement, of which the whole network keeps
    ⌈samples/4⌉.
    """
    frames = torch.randn(2, 67, 1003, generator=torch.Generator().manual_seed(0))
    tracking, strain = _TrackingFrame(network).eval(), _StrainFrame(network).eval()
    paths = path.with_suffix(".tracking.onnx"), path.with_suffix(".strain.onnx")
    known = {**_metadata(network), **metadata}
    with torch.no_grad():
        measured = tracking(frames[0], frames[1])
    _write(
        tracking,
        dict(zip(("pre", "post"), frames, strict=True)),
        MEASURED,
        paths[0],
        known,
    )
    inputs = dict(zip(MEASURED, measured, strict=True))
    _write(strain, inputs, network.outputs, paths[1], known)
    return paths


def _metadata(network: StrainNetwork) -> dict[str, str]:
    return {
        "axial_stride": str(network.axial_stride),
        "samples_per_wavelength": str(network.samples_per_wavelength),
    }


def _write(
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    path: Path,
    metadata: dict[str, str],
) -> None:
    """Export a module with inputs ending in lines and samples, or lines and depths; both are dynamic."""
    last, least = ("samples", 64) if "pre" in inputs else ("depths", 8)
    lines = torch.export.Dim("lines", min=4 if len(outputs) == 2 else 8, max=4096)
    along = torch.export.Dim(last, min=least, max=65536)
    program = torch.onnx.export(
        module,
        tuple(inputs.values()),
        dynamo=True,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_shapes=tuple({x.ndim - 2: lines, x.ndim - 1: along} for x in inputs.values()),
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None, "the exporter returned nothing"
    model = program.model_proto
    # The exporter stores the source line of every node; remove it from the file.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _compare(frame: nn.Module, path: Path, outputs: tuple[str, ...]) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for shape in ((128, 2608), (33, 1001)):
        pre = rng.standard_normal(shape, dtype=np.float32)
        post = np.roll(pre, 2, axis=-1) + 0.3 * rng.standard_normal(shape, dtype=np.float32)
        # Tissue without a partner at the top, a shadow in both frames, a dead line in one.
        post[:, :200], pre[2:9, 500:], post[2:9, 500:], pre[-2] = 0.0, 0.0, 0.0, 0.0
        with torch.no_grad():
            expected = frame(torch.from_numpy(pre), torch.from_numpy(post))
        got = session.run(None, {"pre": pre, "post": post})
        for name, ours, theirs in zip(outputs, got, expected, strict=True):
            reference = theirs.numpy()
            assert np.isfinite(ours).all(), (
                f"{name} at {shape}: not a number where echoes are silent"
            )
            error = np.linalg.norm(ours - reference) / np.linalg.norm(reference)
            assert error < 1e-4, f"{name} at {shape}: ONNX Runtime differs by {error:.2e}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a trained network as ONNX.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", action="store_true", help="also write both stages of cnn2")
    options = parser.parse_args()
    state = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
    network = make_network(state["network"])
    network.load_state_dict(state["model"])
    export(network, options.out, {"training_steps": str(state["step"])})
    if options.stages and isinstance(network, Cnn2):
        export_stages(network, options.out, {"training_steps": str(state["step"])})
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, scores {state['scores']}")


if __name__ == "__main__":
    main()
