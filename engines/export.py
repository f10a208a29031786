"""Writes a trained network as ONNX, checked against PyTorch.

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

OPSET = 18


class _WholeFrame(nn.Module):
    """One pair without the batch axis, which an engine has no use for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        displacement, strain = self.network(pre[None], post[None])
        return displacement[0], strain[0]


def export(network: StrainNetwork, path: Path, metadata: dict[str, str]) -> None:
    """Write ``network`` with dynamic lines and samples and check it on two sizes.

    ``network`` has the attributes ``axial_stride`` and ``samples_per_wavelength``; they enter the
    metadata with whatever ``metadata`` adds.

    Raises
    ------
    AssertionError
        If ONNX Runtime and PyTorch differ by more than 1e-4 of the output's size.
    """
    frame = _WholeFrame(network).eval()
    example = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
    size = {
        0: torch.export.Dim("lines", min=4, max=4096),
        1: torch.export.Dim("samples", min=64, max=65536),
    }
    program = torch.onnx.export(
        frame,
        (example, example.roll(1, -1)),
        dynamo=True,
        input_names=["pre", "post"],
        output_names=["displacement", "strain"],
        dynamic_shapes=(size, size),
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None, "the exporter returned nothing"
    model = program.model_proto
    # The exporter notes for every node where in which file it came from; nobody needs to ship that.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]
    onnx.helper.set_model_props(
        model,
        {
            "axial_stride": str(network.axial_stride),
            "samples_per_wavelength": str(network.samples_per_wavelength),
            **metadata,
        },
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    _compare(frame, path)


def _compare(frame: nn.Module, path: Path) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for shape in ((128, 2608), (33, 1001)):
        pre = rng.standard_normal(shape, dtype=np.float32)
        post = np.roll(pre, 2, axis=-1) + 0.3 * rng.standard_normal(shape, dtype=np.float32)
        with torch.no_grad():
            expected = frame(torch.from_numpy(pre), torch.from_numpy(post))
        got = session.run(None, {"pre": pre, "post": post})
        for name, ours, theirs in zip(("displacement", "strain"), got, expected, strict=True):
            reference = theirs.numpy()
            error = np.linalg.norm(ours - reference) / np.linalg.norm(reference)
            assert error < 1e-4, f"{name} at {shape}: ONNX Runtime differs by {error:.2e}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a trained network as ONNX.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    state = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
    network = make_network(state["network"])
    network.load_state_dict(state["model"])
    export(network, options.out, {"training_steps": str(state["step"])})
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, scores {state['scores']}")


if __name__ == "__main__":
    main()
