"""A network whose two stages run one after the other: its measurement can be averaged between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtelasto.cpu.engine import OnnxEngine
from rtelasto.cpu.network.runtimes import OnnxRuntime
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import MeasuredMotion, ResidualMotion, StretchedPair

_MEASURED = ("displacement", "lateral", "precision", "residual")


class StagedEngine(OnnxEngine):
    """Runs both stages of a network, which together give what its whole graph gives.

    Parameters
    ----------
    path
        The ONNX file of the whole network, after which the engine is named; it is not read.
    stages
        Those of its stages: from frames to the measurement, and from that to the outputs of the network.
    threads
        As for `OnnxEngine`.

    Raises
    ------
    RtelastoError
        If a file cannot be read or does not keep the contract.
    """

    def __init__(self, path: Path, stages: Sequence[Path], *, threads: int | None = None) -> None:
        self._tracking, self._strain = (OnnxRuntime(stage, threads) for stage in stages)
        between = tuple(f"measured_{name}" for name in _MEASURED)
        if (self._tracking.outputs, self._strain.inputs) != (between, between):
            raise RtelastoError(
                f"{stages[0]}: gives {self._tracking.outputs}, and {stages[1].name} takes "
                f"{self._strain.inputs}; both must be {between}: write them with "
                "rtelasto_engines.export --stages"
            )
        self._keep_contract(path, self._tracking, self._strain.outputs)

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        """Estimate the residual motion of a stretched pair, and keep what it was computed from."""
        found = self._tracking.compute({"pre": pair.pre, "post": pair.post})
        images = {name: found[f"measured_{name}"] for name in _MEASURED}
        displacement, grid = images["displacement"], pair.grid
        n_lines, n_depths = displacement.shape
        # The network returns two depths for each of its measurement.
        step = 2 * self.axial_stride
        measured = MeasuredMotion(
            **images,
            grid=Grid(
                n_lines,
                n_depths,
                grid.axial_step_m * step,
                grid.line_pitch_m,
                grid.start_depth_m,
            ),
            sample_m=grid.axial_step_m,
        )
        n_depths = -(-pair.pre.shape[1] // self.axial_stride)
        residual = self._residual(self._results(measured, n_depths), pair)
        return dataclasses.replace(residual, measured=measured)

    def strain_of(
        self, measured: MeasuredMotion, n_depths: int
    ) -> tuple[Float32Image, Float32Image]:
        """Return residual strain and its standard deviation from a measurement, (n_lines, n_depths)."""
        images = self._results(measured, n_depths)
        return images["strain"], images["strain_std"]

    def _results(self, measured: MeasuredMotion, n_depths: int) -> dict[str, Float32Image]:
        inputs = {f"measured_{name}": getattr(measured, name) for name in _MEASURED}
        # Two depths for each of the measurement, of which the frame may have one less.
        return {
            name: np.ascontiguousarray(image[:, :n_depths])
            for name, image in self._strain.compute(inputs).items()
        }
