"""The network engines on a CPU: an ONNX file run by a CPU runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtelasto.cpu.network.runtimes import OnnxRuntime, OpenVino, Runtime, check_runtime
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import ResidualMotion, StretchedPair

_INPUTS = ("pre", "post")
_OUTPUTS = ("displacement", "strain")


class OnnxEngine:
    """Runs a network on whole frames.

    The ONNX contract (``docs/engines.md``): inputs ``pre`` and ``post``, float32 [lines, samples];
    outputs ``displacement`` (in input samples, positive away from the probe) and ``strain``
    (dimensionless), float32 [lines, depths] with output depth k at input sample k·axial_stride;
    metadata ``axial_stride`` and ``samples_per_wavelength``.

    Parameters
    ----------
    path
        The ONNX file.
    threads
        Threads of the runtime; None uses one per core.
    runtime
        One of :data:`rtelasto.cpu.network.runtimes.RUNTIMES`.

    Raises
    ------
    RtelastoError
        If the file cannot be read or does not keep the contract, or the runtime cannot be used here.
    """

    def __init__(
        self, path: Path, *, threads: int | None = None, runtime: str = "onnxruntime"
    ) -> None:
        check_runtime(runtime)
        # It also reads what the others do not: the file's metadata.
        reference = OnnxRuntime(path, threads)
        _check_names(path, reference.inputs, reference.outputs)
        try:
            self.axial_stride = int(reference.metadata["axial_stride"])
            self.samples_per_wavelength: float | None = float(
                reference.metadata["samples_per_wavelength"]
            )
        except (KeyError, ValueError):
            raise RtelastoError(
                f"{path}: the metadata axial_stride and samples_per_wavelength are missing; "
                "export the network with rtelasto_engines.export"
            ) from None
        self.name = path.stem
        self._runtime: Runtime = reference
        if runtime != "onnxruntime":
            self._runtime = OpenVino(path, threads, bf16=runtime == "openvino-bf16")

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        """Residual displacement and strain of a stretched pair, at every ``axial_stride``-th sample."""
        displacement, strain = self._runtime.run(pair.pre, pair.post)
        n_lines, n_depths = displacement.shape
        grid = Grid(
            n_lines,
            n_depths,
            pair.grid.axial_step_m * self.axial_stride,
            pair.grid.line_pitch_m,
            pair.grid.start_depth_m,
        )
        return ResidualMotion(
            np.multiply(displacement, np.float32(pair.grid.axial_step_m)), strain, grid
        )


def _check_names(path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    if inputs != _INPUTS or outputs != _OUTPUTS:
        raise RtelastoError(
            f"{path}: takes {inputs} and gives {outputs}; a strain engine takes {_INPUTS} "
            f"and gives {_OUTPUTS}"
        )
