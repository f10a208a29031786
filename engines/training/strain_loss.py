"""The training of stage 2: crops of measurements, and the loss terms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rtelasto_engines.network.cnn2 import Strain, StrainFromMotion
from rtelasto_engines.network.front_end import RADIANS_PER_SAMPLE
from rtelasto_engines.network.tracking import WINDOW
from rtelasto_engines.training.loss_parts import bounded, edges
from rtelasto_engines.training.measured import as_measurement

# Residual displacements beyond the range of the front end's lags cannot be learned.
_MAX_DISPLACEMENT, _MAX_LATERAL = 13.0, 1.8
_PERCENT = 100.0
# Pixels with a larger true strain (percent) have less weight: they are in a slip plane, whose jump counts.
_SLIP_STRAIN = 5.0
# Depths of 8 samples over which the strain should be the change of the displacement: about 1, 3 and 10 mm.
_CONSISTENT = (7, 19, 65)
# Errors of a crop below which its weight grows no further: relative strain, and samples.
_EASY, _EASY_DISPLACEMENT = 0.05, 0.01
# Added weight of a pixel where the true strain changes.
_EDGE_WEIGHT = 5.0
# Target standard deviation where motion is not visible, in percent strain.
_UNSEEN_STD = 1.0
# Lines and depths that are not counted when the standard deviation is calibrated.
_BORDER = 4, 12
_MOST_AVERAGED, _AVERAGED_SHARE = 40.0, 0.35
_SIGNED = ("displacement", "true_displacement", "true_strain")
_CONJUGATE = np.array([1.0, -1.0], np.float32).reshape(2, 1, 1)
# Errors beyond this many samples are not those of a phase.
_LARGEST_ERROR = 1.5


class MeasuredBatches:
    """Draws crops of measured files, with augmentation that keeps the truth exact.

    The augmentation adds a straight line to the displacement, changes its sign and mirrors both axes. A third
    of the crops imitate an average over 2 to 40 pairs: the error of the measurement is divided by the square
    root of their number, and its precision is multiplied by their number.

    Parameters
    ----------
    paths
        Files written by :mod:`rtelasto_engines.training.measured`.
    lines, depths
        Size of a crop.
    """

    def __init__(
        self, paths: Sequence[Path], *, batch: int, lines: int, depths: int, seed: int
    ) -> None:
        self._batch, self._lines, self._depths = batch, lines, depths
        self._rng = np.random.default_rng(seed)
        self._files: list[dict[str, np.ndarray]] = []
        self._seen: set[Path] = set()
        self.add(paths)

    def add(self, paths: Sequence[Path]) -> None:
        """Also draw from those of these files that are new and large enough."""
        for path in paths:
            if path in self._seen:
                continue
            self._seen.add(path)
            images = load(path)
            n_lines, n_depths = images["displacement"].shape
            if n_lines >= self._lines and n_depths >= self._depths:
                self._files.append(images)

    def __len__(self) -> int:
        return len(self._files)

    def draw(self) -> dict[str, Tensor]:
        """Return images (batch, lines, depths) and ``residual`` (batch, 2, lines, depths)."""
        crops = [self._crop() for _ in range(self._batch)]
        return {name: torch.from_numpy(np.stack([c[name] for c in crops])) for name in crops[0]}

    def _crop(self) -> dict[str, np.ndarray]:
        rng = self._rng
        images = self._files[rng.integers(len(self._files))]
        n_lines, n_depths = images["displacement"].shape
        line, depth = (
            int(rng.integers(0, n - m + 1))
            for n, m in ((n_lines, self._lines), (n_depths, self._depths))
        )
        lines, depths = slice(line, line + self._lines), slice(depth, depth + self._depths)
        out = {name: image[..., lines, depths].astype(np.float32) for name, image in images.items()}
        if rng.random() < _AVERAGED_SHARE:
            _average(out, np.exp(rng.uniform(0.0, np.log(_MOST_AVERAGED))))
        # Change the sign of all axial motion; mirroring along depth changes only the sign of u.
        if rng.random() < 0.5:
            for name in _SIGNED:
                out[name] = -out[name]
            out["residual"] = out["residual"] * _CONJUGATE
        if rng.random() < 0.5:
            out = {name: image[..., ::-1] for name, image in out.items()}
            for name in ("displacement", "true_displacement"):
                out[name] = -out[name]
            out["residual"] = out["residual"] * _CONJUGATE
        if rng.random() < 0.5:
            out = {name: image[..., ::-1, :] for name, image in out.items()}
            for name in ("lateral", "true_lateral"):
                out[name] = -out[name]
        slope, start = rng.normal(0.0, 0.001), rng.normal(0.0, 0.5)
        line_up = (start + slope * 8.0 * (np.arange(self._depths) - self._depths / 2)).astype(
            np.float32
        )
        out["displacement"] = out["displacement"] + line_up
        out["true_displacement"] = out["true_displacement"] + line_up
        unseen = np.isnan(out["true_displacement"])
        out["true_strain"] = out["true_strain"] + np.where(unseen, 0.0, slope).astype(np.float32)
        return {name: np.ascontiguousarray(image) for name, image in out.items()}


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def as_batch(images: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return a batch of one, float32."""
    return {name: torch.from_numpy(x.astype(np.float32))[None] for name, x in images.items()}


def _average(images: dict[str, np.ndarray], pairs: float) -> None:
    """Convert to the average measurement of several pairs of equal quality, in place."""
    moved, truth = images["displacement"], images["true_displacement"]
    residual = images["residual"][0] + 1j * images["residual"][1]
    fine_error = moved - np.angle(residual) / RADIANS_PER_SAMPLE - truth
    for name in ("displacement", "lateral"):
        images[name] = _calmed(images[name], _windowed(images[f"true_{name}"]), pairs)
    fine = _calmed(truth + fine_error, truth, pairs)
    angle = RADIANS_PER_SAMPLE * (images["displacement"] - fine)
    kept = np.abs(fine_error) < _LARGEST_ERROR
    residual = np.where(kept, np.abs(residual) * np.exp(1j * np.where(kept, angle, 0.0)), residual)
    images["residual"] = np.stack([residual.real, residual.imag]).astype(np.float32)
    images["precision"] = (images["precision"] * pairs).astype(np.float32)


def _calmed(found: np.ndarray, truth: np.ndarray, pairs: float) -> np.ndarray:
    error = found - truth
    # Where all pairs fail, as over noise, the average does not improve.
    kept = np.isfinite(error) & (np.abs(error) < _LARGEST_ERROR)
    return np.where(kept, truth + error / np.sqrt(pairs), found).astype(np.float32)


def _windowed(truth: np.ndarray) -> np.ndarray:
    """Return the mean of the truth over the window of a measurement."""
    known = np.isfinite(truth)
    both = torch.from_numpy(np.stack([np.where(known, truth, 0.0), known]).astype(np.float32))
    lines, depths = WINDOW
    total = F.avg_pool2d(both, WINDOW, 1, (lines // 2, depths // 2)).numpy()
    return np.where(known, total[0] / np.maximum(total[1], 1e-6), np.nan)


def loss_terms(model: StrainFromMotion, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `errors_of` stage 2 on a batch of measurements."""
    return errors_of(model(as_measurement(batch)), batch)


def errors_of(result: Strain, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return mean errors: displacement, strain, its steps, its consistency, certainty, and the lateral ones.

    Strain errors are in percent, weighted by 1 / (0.3 % + the strain level of the crop), so that a pair at
    0.1 % has the same weight as one at 2 %, and up to six times as much where the true strain changes. Errors
    of displacement and strain are relative to those that the crop has at present (`_eased`).
    ``steps`` compares differences of neighbouring pixels, which are wrong at a smoothed edge. ``consistency``
    compares the strain over 1, 3 and 10 mm with the change of the displacement, which differ for an erased
    layer or an inverted slip. ``certainty`` is a likelihood of the errors without a gradient for the estimate
    itself.
    """
    strain, std = result.strain[:, 0] * _PERCENT, result.std[:, 0] * _PERCENT
    seen = batch["true_displacement"].abs() < _MAX_DISPLACEMENT
    unseen = torch.isnan(batch["true_displacement"]) & torch.isfinite(batch["true_strain"])
    valid = (seen & torch.isfinite(batch["true_strain"])) | unseen
    true_strain = _where(valid, batch["true_strain"]) * _PERCENT
    true_displacement = _where(seen, batch["true_displacement"])
    count = valid.sum((1, 2)).clamp(min=1)
    level = true_strain.abs().clamp(max=_SLIP_STRAIN).sum((1, 2)) / count
    level = level.reshape(-1, 1, 1)
    even = valid / (0.3 + level) / (1.0 + true_strain.abs() / _SLIP_STRAIN)
    weight = even * (1.0 + _EDGE_WEIGHT * edges(true_strain, level))
    error = strain - true_strain
    steps = [
        ((error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:] * valid[..., :-1]).sum((1, 2)),
        ((error[:, 1:] - error[:, :-1]).abs() * weight[:, 1:] * valid[:, :-1]).sum((1, 2)),
    ]
    moved = (bounded(result.displacement[:, 0] - true_displacement) * seen).sum((1, 2))
    terms = {
        "displacement": _eased(moved / seen.sum((1, 2)).clamp(min=1), _EASY_DISPLACEMENT),
        "strain": _eased((error.abs() * weight).sum((1, 2)) / count, _EASY),
        "steps": _eased((steps[0] + steps[1]) / count, _EASY),
        "consistency": _consistency(error, valid, 0.3 + level),
        "certainty": _certainty(error.detach(), std, seen, unseen),
    }
    terms.update(_lateral_terms(result.lateral[:, 0], result.lateral_strain[:, 0], batch, seen))
    return terms


def _eased(error: Tensor, easy: float) -> Tensor:
    """Return the mean over crops of their error, relative to its present value plus ``easy``.

    The errors of crops with noise are ten times those of clean ones. With a plain mean, the network learns to
    smooth for the sake of the former, and edges stay blurred in the latter.
    """
    return (error / (error.detach() + easy)).mean()


def _lateral_terms(
    lateral: Tensor, stretch: Tensor, batch: dict[str, Tensor], seen: Tensor
) -> dict[str, Tensor]:
    known = seen & (batch["true_lateral"].abs() < _MAX_LATERAL)
    known = known & torch.isfinite(batch["true_lateral_strain"])
    count = known.sum().clamp(min=1)
    true_stretch = _where(known, batch["true_lateral_strain"]) * _PERCENT
    level = true_stretch.abs().clamp(max=_SLIP_STRAIN).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
    weight = known / (0.3 + level.reshape(-1, 1, 1)) / (1.0 + true_stretch.abs() / _SLIP_STRAIN)
    error = lateral - _where(known, batch["true_lateral"])
    return {
        "lateral": (bounded(error) * known).sum() / count,
        "lateral_strain": ((_PERCENT * stretch - true_stretch).abs() * weight).sum() / count,
    }


def _consistency(error: Tensor, valid: Tensor, level: Tensor) -> Tensor:
    """Return the error of the strain integrated over several lengths, relative to a uniform error."""
    both = torch.stack([error * valid, valid.to(error.dtype)], 1)
    total = error.new_zeros(())
    for points in _CONSISTENT:
        if points > error.shape[-1]:
            continue
        mean = F.avg_pool2d(both, (1, points), stride=(1, 2))
        whole = mean[:, 1] > 0.999
        total = total + (mean[:, 0].abs() * whole / level).sum() / whole.sum().clamp(min=1)
    return total


def _certainty(error: Tensor, std: Tensor, seen: Tensor, unseen: Tensor) -> Tensor:
    """Return the negative log-likelihood of a Student's t with four degrees of freedom, up to a constant.

    It covers pixels with visible motion. The gradient of a Gaussian likelihood has no bound: pixels with
    errors of many standard deviations would dominate every step.
    """
    likelihood = torch.log(std) + 2.5 * torch.log1p(0.25 * (error / std) ** 2)
    wide = (torch.log(std) - float(np.log(_UNSEEN_STD))).abs()
    return (_where(seen, likelihood).sum() + _where(unseen, wide).sum()) / (
        (seen | unseen).sum().clamp(min=1)
    )


def total_loss(terms: dict[str, Tensor]) -> Tensor:
    return (
        0.4 * terms["displacement"]
        + 1.5 * terms["strain"]
        + 0.5 * terms["steps"]
        + 2.0 * terms["consistency"]
        + 0.1 * terms["certainty"]
        + 2.0 * terms["lateral"]
        + 0.5 * terms["lateral_strain"]
    )


@torch.no_grad()
def validate(model: StrainFromMotion, files: Sequence[dict[str, np.ndarray]]) -> dict[str, float]:
    """Return medians over files of RMS errors, and the share of pixels within one and two σ."""
    return scores_of(results(model, files))


@torch.no_grad()
def results(
    model: StrainFromMotion, files: Sequence[dict[str, np.ndarray]]
) -> list[tuple[Strain, dict[str, Tensor]]]:
    """Return the result of stage 2 on every measured file, and its truth."""
    batches = [as_batch(images) for images in files]
    return [(model(as_measurement(batch)), batch) for batch in batches]


def scores_of(found: Sequence[tuple[Strain, dict[str, Tensor]]]) -> dict[str, float]:
    """Return medians of RMS errors, and the share of pixels within one and two σ."""
    rows = []
    for result, batch in found:
        seen = (batch["true_displacement"].abs() < _MAX_DISPLACEMENT) & torch.isfinite(
            batch["true_strain"]
        )
        aside = seen & (batch["true_lateral"].abs() < _MAX_LATERAL)
        error = _PERCENT * (result.strain[:, 0] - batch["true_strain"])[seen]
        ratio = error.abs() / (_PERCENT * result.std[:, 0][seen])
        moved = (result.displacement[:, 0] - batch["true_displacement"])[seen]
        lateral = (result.lateral[:, 0] - batch["true_lateral"])[aside]
        within = [(ratio < k).float().mean() for k in (1.0, 2.0)]
        squares = [moved.square().mean().sqrt(), error.square().mean().sqrt()]
        rows.append([*squares, lateral.square().mean().sqrt(), *within])
    names = (
        "displacement_rmse",
        "strain_rmse_percent",
        "lateral_rmse_lines",
        "within_1",
        "within_2",
    )
    middle = np.nanmedian(np.array(rows, float), axis=0)
    return dict(zip(names, map(float, middle), strict=True))


@torch.no_grad()
def calibrate(bias: Tensor, found: Sequence[tuple[Strain, dict[str, Tensor]]]) -> float:
    """Scale the standard deviation, in place, so that 68 % of the errors away from the borders lie within it.

    ``bias`` is that of its head. Returns the factor: the median over results of the head and their truth.
    """
    ratios = []
    for result, batch in found:
        seen = batch["true_displacement"].abs() < _MAX_DISPLACEMENT
        seen = seen & torch.isfinite(batch["true_strain"])
        error = (result.strain[:, 0] - batch["true_strain"]).abs() / result.std[:, 0]
        # Tissue comes and goes at the borders, where errors differ from those inside.
        inner = ..., slice(_BORDER[0], -_BORDER[0]), slice(_BORDER[1], -_BORDER[1])
        ratios.append(float(torch.quantile(error[inner][seen[inner]][::7], 0.68)))
    factor = float(np.median(ratios))
    bias.add_(float(np.log(factor)))
    return factor


def _where(known: Tensor, values: Tensor) -> Tensor:
    return torch.where(known, values, torch.zeros_like(values))
