"""Batches for training: random crops of examples, with augmentation that keeps the truth exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rtelasto_engines.training.dataset import AXIAL_STRIDE, COUNTS_PER_RMS, Example

# Largest width of a strip without partner.
_STRIP_LINES = 8


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How crops are varied; every crop is also drawn at another place.

    Parameters
    ----------
    largest_shift_samples
        Of the post-compression crop. The front end of ``cnn`` compares lags up to ±12 samples, and its
        convolutions a few more; shifts teach displacements of either sign from every example.
    lateral_share
        Fraction of the crops with the post-compression frame shifted by a whole line: the lateral motion
        after the stretch may be larger than the errors of the stretch alone.
    strip_share
        Fraction of the crops in which a strip of lines at one side has no partner: tissue that moved out of
        the image. The stretch writes zeros there.
    noise_share
        Fraction of the crops with white noise added to both frames.
    mirrored
        Mirror half of the crops across the lines, reverse the polarity of half, and vary the gain.
    """

    largest_shift_samples: int = 4
    lateral_share: float = 0.2
    strip_share: float = 0.25
    noise_share: float = 0.5
    mirrored: bool = True


EVERYTHING = Augmentation()
# For pairs whose residual motion is to remain as small as the stretch leaves it.
IN_PLACE = Augmentation(largest_shift_samples=0, lateral_share=0.0, strip_share=0.1)
AS_SIMULATED = Augmentation(0, 0.0, 0.0, 0.0, mirrored=False)


def whole_frames(example: Example) -> tuple[Tensor, Tensor]:
    """Return the pre- and post-compression frame as networks take them, float32 (1, n_lines, n_samples)."""
    pre, post = (
        torch.from_numpy(frame.astype(np.float32) / COUNTS_PER_RMS)[None]
        for frame in (example.pre, example.post)
    )
    return pre, post


class Batches:
    """Draws augmented crops.

    Parameters
    ----------
    paths
        Files written by :mod:`rtelasto_engines.training.dataset`.
    lines, samples
        Size of a crop; ``samples`` is a multiple of 8.
    augmentation
        How crops are varied.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        batch: int,
        lines: int,
        samples: int,
        seed: int,
        augmentation: Augmentation = EVERYTHING,
    ) -> None:
        self._examples = [Example.load(path) for path in paths]
        self._batch, self._lines, self._samples = batch, lines, samples
        self._rng = np.random.default_rng(seed)
        self._augmentation = augmentation

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (pre, post, displacement, strain): (batch, lines, samples), truth at every 4th sample."""
        crops = [self._crop() for _ in range(self._batch)]
        pre, post, displacement, strain = (
            torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True)
        )
        return pre, post, displacement, strain

    def _crop(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rng, augmentation = self._rng, self._augmentation
        reach = augmentation.largest_shift_samples
        while True:
            example = self._examples[rng.integers(len(self._examples))]
            n_lines, n_samples = example.pre.shape
            if n_lines >= self._lines and n_samples >= self._samples + 2 * AXIAL_STRIDE:
                break
        line = rng.integers(n_lines - self._lines + 1)
        first = AXIAL_STRIDE * rng.integers(1, (n_samples - self._samples) // AXIAL_STRIDE)
        shift = int(rng.integers(-reach, reach + 1))
        lines = slice(line, line + self._lines)
        pre = example.pre[lines, first : first + self._samples].astype(np.float32)
        begin = max(first + shift, 0)
        beside = line
        if rng.random() < augmentation.lateral_share:
            beside = min(max(line + int(rng.choice([-1, 1])), 0), n_lines - self._lines)
        across = slice(beside, beside + self._lines)
        post = example.post[across, begin : begin + self._samples].astype(np.float32)
        if post.shape != pre.shape:
            return self._crop()
        depth = slice(first // AXIAL_STRIDE, (first + self._samples) // AXIAL_STRIDE)
        displacement = example.displacement[lines, depth] - (begin - first)
        strain = example.strain[lines, depth]
        if rng.random() < augmentation.strip_share:
            lost = np.s_[: int(rng.integers(1, _STRIP_LINES + 1))]
            post[lost] = 0.0
            displacement, strain = displacement.copy(), strain.copy()
            displacement[lost] = strain[lost] = np.nan
        gain = 1.0 / COUNTS_PER_RMS
        if augmentation.mirrored:
            gain *= (1.0 if rng.random() < 0.5 else -1.0) * rng.uniform(0.7, 1.4)
        pre, post = gain * pre, gain * post
        if rng.random() < augmentation.noise_share:
            level = 10.0 ** rng.uniform(-2.5, -0.7)
            pre = pre + level * rng.standard_normal(pre.shape, dtype=np.float32)
            post = post + level * rng.standard_normal(post.shape, dtype=np.float32)
        if augmentation.mirrored and rng.random() < 0.5:
            pre, post, displacement, strain = (a[::-1] for a in (pre, post, displacement, strain))
        return tuple(
            np.ascontiguousarray(a, dtype=np.float32) for a in (pre, post, displacement, strain)
        )  # type: ignore[return-value]
