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
    """

    samples_per_wavelength: float
    axial_stride: int
    inner_step: int

    @abstractmethod
    def stages(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Stage 1's own displacement, the final one and the strain, at the inner step.

        From (batch, lines, samples) to (batch, lines, ⌈samples/inner_step⌉); displacement in samples.
        This is what training compares with the truth.
        """

    @abstractmethod
    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement in samples and strain, (batch, lines, ⌈samples/axial_stride⌉)."""


def make_network(name: str) -> StrainNetwork:
    """An untrained network by name."""
    if name == "cnn":
        from rtelasto_engines.network.cnn import Cnn

        return Cnn()
    if name == "wu2018":
        from rtelasto_engines.network.wu2018 import Wu2018

        return Wu2018()
    raise RtelastoError(f"network must be cnn or wu2018, got {name!r}")
