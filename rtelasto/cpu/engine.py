"""The network engines on a CPU: an ONNX file run by a CPU runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rtelasto.cpu.network.runtimes import OnnxRuntime, OpenVino, Runtime, check_runtime
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import ResidualMotion, StretchedPair

_INPUTS = ("pre", "post")
_OUTPUTS = ("displacement", "strain")
# Optional outputs of newer networks, in any number and order.
_MORE_OUTPUTS = ("lateral_displacement", "lateral_strain", "strain_std")


class OnnxEngine:
    """Runs a network on whole frames.

    The ONNX contract (``docs/engines.md``): inputs ``pre`` and ``post``, float32 [lines, samples];
    outputs ``displacement`` (in input samples, positive away from the probe) and ``strain`` (dimensionless),
    float32 [lines, depths] with output depth k at input sample k·axial_stride, followed by any of
    ``lateral_displacement`` (in lines, positive towards higher ones), ``lateral_strain`` and ``strain_std``
    (one standard deviation of the axial strain, dimensionless), of the same shape; metadata ``axial_stride``
    and ``samples_per_wavelength``.

    Parameters
    ----------
    path
        The ONNX file.
    threads
        Number of threads of the runtime; None uses one per core.
    runtime
        ``onnxruntime``, ``openvino`` or ``openvino-bf16``.

    Attributes
    ----------
    more_outputs
        What the network gives beside displacement and strain.

    Raises
    ------
    RtelastoError
        If the file cannot be read or does not keep the contract, or the runtime cannot be used here.
    """

    def __init__(
        self, path: Path, *, threads: int | None = None, runtime: str = "onnxruntime"
    ) -> None:
        check_runtime(runtime)
        # ONNX Runtime also reads the file's metadata, which the other runtimes do not.
        reference = OnnxRuntime(path, threads)
        self._keep_contract(path, reference, reference.outputs)
        self._runtime: Runtime = reference
        if runtime != "onnxruntime":
            self._runtime = OpenVino(
                path, threads, outputs=reference.outputs, bf16=runtime == "openvino-bf16"
            )

    def _keep_contract(self, path: Path, reader: OnnxRuntime, outputs: tuple[str, ...]) -> None:
        """Check the names and the metadata of a network, of which ``reader`` takes the frames."""
        _check_names(path, reader.inputs, outputs)
        try:
            self.axial_stride = int(reader.metadata["axial_stride"])
            self.samples_per_wavelength: float | None = float(
                reader.metadata["samples_per_wavelength"]
            )
        except (KeyError, ValueError):
            raise RtelastoError(
                f"{path}: the metadata axial_stride and samples_per_wavelength are missing; "
                "export the network with rtelasto_engines.export"
            ) from None
        self.name = path.stem
        self.more_outputs = outputs[len(_OUTPUTS) :]

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        """Estimate the residual motion of a stretched pair, at every ``axial_stride``-th sample."""
        found = self._runtime.run(pair.pre, pair.post)
        return self._residual(dict(zip(self._runtime.outputs, found, strict=True)), pair)

    def _residual(self, images: Mapping[str, Float32Image], pair: StretchedPair) -> ResidualMotion:
        displacement = images["displacement"]
        lateral = images.get("lateral_displacement")
        n_lines, n_depths = displacement.shape
        grid = Grid(
            n_lines,
            n_depths,
            pair.grid.axial_step_m * self.axial_stride,
            pair.grid.line_pitch_m,
            pair.grid.start_depth_m,
        )
        return ResidualMotion(
            np.multiply(displacement, np.float32(pair.grid.axial_step_m)),
            images["strain"],
            grid,
            lateral_displacement_m=(
                None if lateral is None else lateral * np.float32(pair.grid.line_pitch_m)
            ),
            lateral_strain=images.get("lateral_strain"),
            axial_strain_std=images.get("strain_std"),
        )


def _check_names(path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    more = outputs[len(_OUTPUTS) :]
    known = len(set(more)) == len(more) and set(more) <= set(_MORE_OUTPUTS)
    if inputs != _INPUTS or outputs[: len(_OUTPUTS)] != _OUTPUTS or not known:
        raise RtelastoError(
            f"{path}: takes {inputs} and gives {outputs}; a strain engine takes {_INPUTS} "
            f"and gives {_OUTPUTS}, and after them any of {_MORE_OUTPUTS}"
        )
