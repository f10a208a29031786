"""Errors of the published network's stages, and the scores of both on whole frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network.wu2018 import Wu2018
from rtelasto_engines.training.batches import whole_frames
from rtelasto_engines.training.dataset import Example
from rtelasto_engines.training.loss_parts import strain_weight

# Strain is compared in percent.
_STRAIN_UNIT = 0.01
# Residual strain of a crop, in percent RMS, at which its gain counts half.
_LEAST_CONTRAST = 0.05
# Batches of which the statistics of batch norm are computed after training.
_SETTLING_BATCHES = 60
# The error of a measured displacement, in samples, as 10 to a power in this range; it is correlated over one
# of these windows of (lines, depths).
_NOISE_POWERS = (-2.5, -0.8)
_NOISE_WINDOWS = ((1, 5), (3, 9), (5, 17))


def displacement_error(found: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute error in samples, where there is truth."""
    valid = torch.isfinite(truth)
    return (found - truth)[valid].abs().mean()


def strain_errors(found: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return the error of strain, weighted by `strain_weight`, and that of its gain.

    The gain of a crop is the slope of the regression of the estimate on the truth. A mean absolute error
    alone prefers a gain below 1, because that also shrinks the noise of the estimate.
    """
    valid = torch.isfinite(truth)
    estimate = found / _STRAIN_UNIT
    true = torch.where(valid, truth, torch.zeros_like(truth)) / _STRAIN_UNIT
    count = valid.sum((1, 2), keepdim=True).clamp(min=1)
    contrast = valid * (true - true.sum((1, 2), keepdim=True) / count)
    power = contrast.square().sum((1, 2))
    gain = (estimate * contrast).sum((1, 2)) / power.clamp(min=1e-9)
    power = power / count[:, 0, 0]
    certainty = power / (_LEAST_CONTRAST**2 + power)
    return {
        "strain": ((estimate - true).abs() * strain_weight(true, valid)).sum() / count.sum(),
        "gain_error": ((gain - 1.0).abs() * certainty).mean(),
    }


def noisy_truth(truth: Tensor, fallback: Tensor) -> Tensor:
    """Return the true displacement with correlated noise of a random level, per crop.

    Where there is no truth, ``fallback`` is taken.
    """
    crops = []
    for crop in torch.where(torch.isfinite(truth), truth, fallback):
        window = _NOISE_WINDOWS[int(torch.randint(len(_NOISE_WINDOWS), ()))]
        padding = (window[0] // 2, window[1] // 2)
        noise = F.avg_pool2d(torch.randn_like(crop)[None, None], window, 1, padding)[0, 0]
        power = torch.empty(()).uniform_(*_NOISE_POWERS)
        crops.append(crop + 10.0**power * noise / noise.std())
    return torch.stack(crops)


def settle(stage: nn.Module, run: Callable[[], object]) -> None:
    """Recompute the statistics of batch norm in place, as plain means over calls of ``run``.

    The statistics that remain of a training follow its last batches, and belong to the weights before their
    average; with them, the displacement of whole frames was off by 0.01 to 0.04 samples.
    """
    norms = [module for module in stage.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    stage.train()
    with torch.no_grad():
        for _ in range(_SETTLING_BATCHES):
            run()
    stage.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def scores(network: Wu2018, examples: Sequence[Example], *, strain: bool) -> dict[str, float]:
    """Return medians over whole frames of the RMS errors; of strain only where asked.

    ``offset_samples`` is the mean error of the displacement, and ``gain`` the slope of the regression of the
    residual strain on its truth.
    """
    rows = []
    for example in examples:
        pre, post = whole_frames(example)
        if strain:
            found, estimate = (output[0].numpy() for output in network(pre, post))
        else:
            found = network.displacement_stage.dense(pre, post)[0].numpy()
        valid = np.isfinite(example.displacement)
        error = (found - example.displacement)[valid]
        row = [np.sqrt(np.square(error).mean()), abs(error.mean())]
        if strain:
            true = example.strain[valid].astype(np.float64)
            contrast = true - true.mean()
            row += [
                100.0 * np.sqrt(np.square(estimate[valid] - true).mean()),
                (estimate[valid] * contrast).sum() / np.square(contrast).sum(),
            ]
        rows.append(row)
    names = ("displacement_rmse_samples", "offset_samples", "strain_rmse_percent", "gain")
    middle = np.median(rows, axis=0)
    return {name: float(value) for name, value in zip(names, middle, strict=False)}
