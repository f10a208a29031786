"""``wu2018``: the published two-stage patch network, as close to the publication as its text allows.

Wu, Gao, Liu, Luo, "Direct Reconstruction of Ultrasound Elastography Using an End-to-End Deep Neural
Network", MICCAI 2018. Stage 1 computes the displacement at the centre of a patch of 9 lines by 71 samples of
both RF frames. Stage 2 computes the strain at the centre of a patch of 9 lines by 61 samples of the
displacement image.

The weights are those of the patch network: calling a stage runs it on patches. Engines do not extract
patches: ``dense`` applies the same weights to whole frames. Convolutions are unchanged, pooling becomes a
true stride, the locally connected layer becomes one kernel per position and the fully connected layers become
convolutions. Both give the same results, including at the borders; the tests verify this.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network import StrainNetwork
from rtelasto_engines.network.patch_layers import (
    BatchRenorm,
    FullyConnected,
    LocallyConnected,
    PatchConv,
    Pooling,
    full_precision,
    pad_frame,
)

SAMPLES_PER_WAVELENGTH = 6.4
AXIAL_STRIDE = 4
# The strain layer works in percent, so that its values are of order one.
_STRAIN_UNIT = 0.01
_FEATURES = 12
_FEATURE_TAPS = (3, 8)
_DROPOUT = 0.1
# (lines, samples) of each shared convolution, by the number of all convolution layers; None halves.
_TRUNKS: dict[int, tuple[tuple[int, int] | None, ...]] = {
    3: ((1, 5), None, (3, 5), None),
    4: ((1, 5), None, (3, 5), None, (3, 5)),
    5: ((1, 5), None, (3, 5), (1, 5), None, (3, 5)),
    6: ((1, 5), (1, 5), None, (3, 5), (1, 5), None, (3, 5)),
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """The properties of stage 1 that the publication varied; the defaults are its final choice.

    Parameters
    ----------
    patch
        (lines, samples) of a patch: lines odd, samples 71 plus or minus a multiple of 8.
    pooling
        ``max``, ``average``, or ``stride``: no pooling, the convolution before it has a stride of two and one
        more tap.
    layers
        Convolution layers, 3 to 6, the locally connected one included.
    hidden
        Sizes of the fully connected layers before the last one, which has a single output.
    dilation
        1, or 2: kernels of three taps, two samples apart, in place of five neighbouring ones.
    width
        Channels of every convolution layer.
    """

    patch: tuple[int, int] = (9, 71)
    pooling: Pooling = "max"
    layers: int = 5
    hidden: tuple[int, ...] = (64, 32)
    dilation: int = 1
    width: int = 24


class DisplacementStage(nn.Module):
    """Stage 1: the axial displacement in samples at the centre of a patch of both frames."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.patch = architecture.patch
        self.axial = nn.Conv2d(1, _FEATURES, (1, _FEATURE_TAPS[1]), bias=False)
        self.lateral = nn.Conv2d(_FEATURES, _FEATURES, (_FEATURE_TAPS[0], 1))
        lines, samples = (p - t + 1 for p, t in zip(self.patch, _FEATURE_TAPS, strict=True))
        channels, step = 2 * _FEATURES, 1
        self.trunk = nn.ModuleList()
        for kernel, following in itertools.pairwise((*_TRUNKS[architecture.layers], (0, 0))):
            if kernel is None:
                continue
            halve = architecture.pooling if following is None else None
            span = kernel[1] + (halve == "stride")
            # A patch with a single line left is convolved along depth only.
            taps = (min(kernel[0], lines), 1 + (span - 1) // architecture.dilation)
            block = PatchConv(
                channels,
                architecture.width,
                taps,
                step=step,
                dilation=architecture.dilation,
                halve=halve,
                norm=nn.BatchNorm2d if self.trunk else None,
                dropout=_dropout(len(self.trunk)),
            )
            self.trunk.append(block)
            lines, samples = lines - taps[0] + 1, samples - kernel[1] + 1
            if halve:
                if samples % 2:
                    raise ValueError(f"{architecture}: halving would skip a sample of the patch")
                samples, step = samples // 2, 2 * step
            channels = architecture.width
        self.local = LocallyConnected(channels, channels, (lines, samples), step=step)
        self.norm = nn.BatchNorm2d(self.local.n_outputs)
        self.dropout = nn.Dropout(_dropout(len(self.trunk)))
        self.connected = FullyConnected(
            self.local.n_outputs, (1, 1), architecture.hidden, step=step
        )

    def _convolve(self, pre: Tensor, post: Tensor, every_sample: bool = False) -> Tensor:
        """The shared convolutions, on patches or padded frames (batch, lines, samples)."""
        both = F.relu(self.lateral(F.relu(self.axial(torch.cat([pre, post])[:, None]))))
        x = torch.cat(both.chunk(2), dim=1)
        for block in self.trunk:
            x = block(x, every_sample)
        return x

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Patches (batch, \\*patch) of both frames → displacement (batch,)."""
        x = self.local(self._convolve(pre, post))
        return self.connected(self.dropout(F.relu(self.norm(x))))

    def dense(self, pre: Tensor, post: Tensor, every_sample: bool = False) -> Tensor:
        """Frames (batch, lines, samples) → displacement at every fourth sample, or at every one."""
        pre, post = (pad_frame(frame, self.patch, "constant") for frame in (pre, post))
        x = self.local.dense(self._convolve(pre, post, every_sample), every_sample)
        x = self.local.gather(self.dropout(F.relu(self.norm(x))), every_sample)
        return self.connected.dense(x, every_sample)


class StrainStage(nn.Module):
    """Stage 2: the axial strain, dimensionless, at the centre of a patch of the displacement image."""

    patch = (9, 61)

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        # Strain is a slope. Without this constraint the first kernels follow the offset of the displacement,
        # which is a hundred times larger, and learn nothing.
        first = PatchConv(1, width, (3, 7), halve="stride", norm=BatchRenorm, slope=True)
        second = PatchConv(
            width, width, (3, 4), step=2, halve="stride", norm=BatchRenorm, dropout=_DROPOUT
        )
        third = PatchConv(width, width, (3, 5), step=4, norm=BatchRenorm, dropout=_DROPOUT)
        self.trunk = nn.ModuleList([first, second, third])
        self.connected = FullyConnected(width, (3, 9), (), step=AXIAL_STRIDE)

    def _convolve(self, displacement: Tensor, every_sample: bool = False) -> Tensor:
        x = displacement[:, None]
        for block in self.trunk:
            x = block(x, every_sample)
        return x

    def forward(self, displacement: Tensor) -> Tensor:
        """Patches (batch, \\*patch), in samples → strain (batch,)."""
        return _STRAIN_UNIT * self.connected(self._convolve(displacement))

    def dense(self, displacement: Tensor, every_sample: bool = False) -> Tensor:
        """Images (batch, lines, samples) → strain at every fourth sample, or at every one."""
        with full_precision(displacement):
            padded = pad_frame(displacement, self.patch, "replicate")
            x = self._convolve(padded, every_sample)
        return _STRAIN_UNIT * self.connected.dense(x, every_sample)


class Wu2018(StrainNetwork):
    """(pre, post), float32 (batch, lines, samples) → displacement and strain (batch, lines, ⌈samples/4⌉).

    Output depth k lies at input sample 4k. Displacement is in samples of the input, positive away from
    the probe; strain is dimensionless, compression negative.
    """

    samples_per_wavelength = SAMPLES_PER_WAVELENGTH
    axial_stride = AXIAL_STRIDE
    inner_step = AXIAL_STRIDE

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.displacement_stage = DisplacementStage(architecture or Architecture())
        self.strain_stage = StrainStage()

    def stages(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the displacement of stage 1, again as the final one, and the strain.

        In training, the strain is computed from the displacement of stage 1 in inference mode. Dropout
        changes its result from pixel to pixel, slightly in displacement but by more than any strain in slope:
        a stage 2 trained on that learns to return a constant.
        """
        displacement = self.displacement_stage.dense(pre, post)
        if not self.training:
            return (
                displacement,
                displacement,
                self.strain_stage.dense(displacement_image(displacement)),
            )
        self.displacement_stage.eval()
        with torch.no_grad():
            in_use = self.displacement_stage.dense(pre, post)
        self.displacement_stage.train()
        return displacement, displacement, self.strain_stage.dense(displacement_image(in_use))

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        displacement = self.displacement_stage.dense(pre, post)
        return displacement, self.strain_stage.dense(displacement_image(displacement))


def displacement_image(displacement: Tensor) -> Tensor:
    """Return the input of stage 2: four samples per depth, interpolated linearly, constant at the end."""
    following = torch.cat([displacement[..., 1:], displacement[..., -1:]], dim=-1)
    between = torch.arange(AXIAL_STRIDE, device=displacement.device) / AXIAL_STRIDE
    step = (following - displacement)[..., None]
    return (displacement[..., None] + step * between).flatten(-2)


def _dropout(layer: int) -> float:
    """Return the dropout after a convolution layer; the first, third and fifth have one."""
    return 0.0 if layer % 2 else _DROPOUT
