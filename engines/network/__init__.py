"""Network definitions (PyTorch). Only training and export import these.

A network takes whole frames, batch first, and is trained and exported through `StrainNetwork` alone.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from rtelasto.errors import RtelastoError


class StrainNetwork(nn.Module):
    """What every network offers.

    Attributes
    ----------
    samples_per_wavelength
        Axial sampling of the frames it was made for.
    axial_stride
        Input samples per output depth.
    inner_step
        Input samples per depth of what `stages` returns.
    outputs
        Names of what `forward` returns: displacement in samples and strain first, then, where the network
        gives them, lateral displacement in lines, lateral strain, and the strain's standard deviation.
    """

    samples_per_wavelength: float
    axial_stride: int
    inner_step: int
    outputs: tuple[str, ...] = ("displacement", "strain")

    @abstractmethod
    def stages(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Stage 1's own displacement, the final one and the strain, at the inner step.

        From (batch, lines, samples) to (batch, lines, ⌈samples/inner_step⌉); displacement in samples.
        This is what training compares with the truth.
        """

    @abstractmethod
    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        """The ``outputs`` in order, each (batch, lines, ⌈samples/axial_stride⌉)."""


def make_network(name: str) -> StrainNetwork:
    """An untrained network by name."""
    if name == "cnn":
        from rtelasto_engines.network.cnn import Cnn

        return Cnn()
    if name == "cnn2":
        from rtelasto_engines.network.cnn2 import Cnn2

        return Cnn2()
    if name == "wu2018":
        from rtelasto_engines.network.wu2018 import Wu2018

        return Wu2018()
    raise RtelastoError(f"network must be cnn, cnn2 or wu2018, got {name!r}")
