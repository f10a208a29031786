"""The network engines on a CPU: an ONNX file run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from rtelasto.domain import Grid, ResidualMotion, StretchedPair
from rtelasto.errors import RtelastoError

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

    Raises
    ------
    RtelastoError
        If the file cannot be read or does not keep the contract.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime raises its own types for every kind of bad file
            reason = str(error).splitlines()[0]
            raise RtelastoError(f"{path}: not a readable ONNX file ({reason})") from None
        self._check_names(path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        try:
            self.axial_stride = int(metadata["axial_stride"])
            self.samples_per_wavelength: float | None = float(metadata["samples_per_wavelength"])
        except (KeyError, ValueError):
            raise RtelastoError(
                f"{path}: the metadata axial_stride and samples_per_wavelength are missing; "
                "export the network with rtelasto_engines.export"
            ) from None
        self.name = path.stem

    def _check_names(self, path: Path) -> None:
        inputs = tuple(value.name for value in self._session.get_inputs())
        outputs = tuple(value.name for value in self._session.get_outputs())
        if inputs != _INPUTS or outputs != _OUTPUTS:
            raise RtelastoError(
                f"{path}: takes {inputs} and gives {outputs}; a strain engine takes {_INPUTS} "
                f"and gives {_OUTPUTS}"
            )

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        """Residual displacement and strain of a stretched pair, at every ``axial_stride``-th sample."""
        displacement, strain = self._session.run(_OUTPUTS, {"pre": pair.pre, "post": pair.post})
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
