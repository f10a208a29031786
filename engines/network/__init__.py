"""Network definitions (PyTorch), imported only by training and export.

A network processes whole frames, batch first. Training and export use only the interface `StrainNetwork`.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from rtelasto.errors import RtelastoError


class StrainNetwork(nn.Module):
    """The interface of every network.

    Attributes
    ----------
    samples_per_wavelength
        Axial sampling of the input frames.
    axial_stride
        Input samples per output depth.
    inner_step
        Input samples per depth of the results of `stages`.
    outputs
        Names of the results of `forward`: displacement in samples and strain, followed by those of lateral
        displacement in lines, lateral strain and the standard deviation of the strain that the network
        computes.
    """

    samples_per_wavelength: float
    axial_stride: int
    inner_step: int
    outputs: tuple[str, ...] = ("displacement", "strain")

    @abstractmethod
    def stages(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the displacement of stage 1, the final one and the strain, at the inner step.

        From (batch, lines, samples) to (batch, lines, ⌈samples/inner_step⌉); displacement in samples.
        Training compares these with the truth.
        """

    @abstractmethod
    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        """Return the ``outputs`` in order, each (batch, lines, ⌈samples/axial_stride⌉)."""


def make_network(name: str) -> StrainNetwork:
    """Create an untrained network by name."""
    if name == "cnn":
        from rtelasto_engines.network.cnn import Cnn

        return Cnn()
    if name == "cnn-lateral":
        from rtelasto_engines.network.cnn_lateral import CnnLateral

        return CnnLateral()
    if name == "cnn2":
        from rtelasto_engines.network.cnn2 import Cnn2

        return Cnn2()
    if name == "wu2018":
        from rtelasto_engines.network.wu2018 import Wu2018

        return Wu2018()
    raise RtelastoError(f"network must be cnn, cnn-lateral, cnn2 or wu2018, got {name!r}")
