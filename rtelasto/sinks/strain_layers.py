"""What a picture or video colours over the B-mode: strain, or another image of a strain frame."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import POOR_CORRELATION, StrainFrame
from rtelasto.sinks.shown_strain import NOISE_STRAIN, motion_word, shown_percent

if TYPE_CHECKING:
    from matplotlib.colors import Normalize

Masked = np.ma.MaskedArray[Any, Any]
Limits = tuple[float, float]
Shown = Literal[
    "strain",
    "lateral-displacement",
    "lateral-strain",
    "accumulated-axial-displacement",
    "accumulated-axial-strain",
    "accumulated-lateral-displacement",
    "accumulated-lateral-strain",
]

# Correlation below which strain is not shown.
DEFAULT_MASK = POOR_CORRELATION
RELATIVE_LIMITS = (0.25, 4.0)
# Relative strain is shown if its standard deviation is at most this share of it.
MOST_UNCERTAIN = 0.5
# Every _STRIDE-th pixel of a frame is enough for the percentiles of all frames.
_STRIDE = 17


class Layer(ABC):
    """An image that is coloured.

    Attributes
    ----------
    label
        Words along the colour bar.
    ends
        Words at its upper and its lower end.
    colours
        Name of the colour map.
    """

    label: str
    ends: tuple[str, str]
    colours: str
    ticks: tuple[float, ...] = ()

    @abstractmethod
    def values(self, frame: StrainFrame) -> Masked:
        """Return what is coloured, (n_lines, n_depths), masked where the B-mode shows through."""

    @abstractmethod
    def title(self, frame: StrainFrame, values: Masked) -> str:
        """Return the line above the image."""

    @abstractmethod
    def limits(self, values: NDArray[np.floating]) -> Limits:
        """Return the limits of the colours for some values."""

    def norm(self, limits: Limits) -> Normalize:
        """Return the scale of the colours."""
        from matplotlib.colors import Normalize

        return Normalize(*limits)

    def common_limits(self, frames: Iterable[StrainFrame]) -> Limits:
        """Return the limits for many frames together."""
        samples = [self.values(frame).reshape(-1)[::_STRIDE].compressed() for frame in frames]
        return self.limits(np.concatenate(samples) if samples else np.zeros(0))

    def at_frame(self, frame: StrainFrame) -> int:
        """Return the id of the RF frame at whose points the image lies."""
        return frame.frame_ids[0]

    def strength(self, frame: StrainFrame) -> float:
        """Return how much there is to see: of all frames, a picture shows the one with the most."""
        return abs(frame.applied_strain) if math.isfinite(frame.applied_strain) else -1.0


class PairStrain(Layer):
    """The strain of a pair in %, positive in the direction of the press.

    Pixels with a correlation below ``mask_below`` are not shown.
    """

    label = "axial strain in %, as pressed"
    ends = ("soft", "hard")
    colours = "viridis"

    def __init__(self, mask_below: float) -> None:
        self._mask_below = mask_below

    def values(self, frame: StrainFrame) -> Masked:
        return shown_percent(frame, self._mask_below)

    def title(self, frame: StrainFrame, values: Masked) -> str:
        if values.count():
            return "axial strain"
        if motion_word(frame) == "at rest":
            return "axial strain (none: tissue at rest)"
        return "axial strain (none is reliable)"

    def limits(self, values: NDArray[np.floating]) -> Limits:
        """3rd to 97th percentile from 0 on, at least as much as the noise of strain.

        Hard tissue strains little: strain of the opposite sign is noise. A shorter range would give noise
        the contrast of tissue.
        """
        if values.size == 0:
            return 0.0, 1.0
        low, high = (max(0.0, float(limit)) for limit in np.percentile(values, (3.0, 97.0)))
        return low, max(high, low + 100.0 * NOISE_STRAIN)


class RelativeStrain(Layer):
    """Relative strain, on a logarithmic scale that is the same in every picture."""

    label = "strain over that of average tissue"
    ends = ("soft", "hard")
    colours = "viridis"
    ticks = (0.25, 0.5, 1.0, 2.0, 4.0)

    def values(self, frame: StrainFrame) -> Masked:
        """Relative strain, masked where it is unknown or its standard deviation is over half of it."""
        relative, std = np.asarray(frame.relative_strain), frame.relative_strain_std
        std = np.zeros_like(relative) if std is None else std
        with np.errstate(invalid="ignore"):
            certain = std <= MOST_UNCERTAIN * np.maximum(np.abs(relative), RELATIVE_LIMITS[0])
        return np.ma.masked_array(relative, ~np.isfinite(relative) | ~certain)

    def title(self, frame: StrainFrame, values: Masked) -> str:
        return "relative strain" if values.count() else "relative strain (none is certain)"

    def limits(self, values: NDArray[np.floating]) -> Limits:
        return RELATIVE_LIMITS

    def norm(self, limits: Limits) -> Normalize:
        from matplotlib.colors import LogNorm

        return LogNorm(*limits, clip=True)

    def common_limits(self, frames: Iterable[StrainFrame]) -> Limits:
        return RELATIVE_LIMITS


class SignedImage(Layer):
    """A field of `StrainFrame` of either sign, in colours that are white at 0.

    Parameters
    ----------
    shown
        Its name for users; the field has the same with underscores, and with ``_m`` if it is in m.
    mask_below
        Correlation below which it is not shown.

    Raises
    ------
    RtelastoError
        If the frame does not have it.
    """

    colours = "RdBu_r"

    def __init__(self, shown: str, frame: StrainFrame, mask_below: float) -> None:
        name = shown.replace("-", "_")
        moved = shown.endswith("displacement")
        self._field = f"{name}_m" if moved else name
        self._factor = np.float32(1e3 if moved else 100.0)
        self._mask_below = mask_below
        self._words = shown.replace("-", " ")
        self.label = f"{self._words} in {'mm' if moved else '%'}"
        across = "lateral" in shown
        if moved:
            self.ends = ("right", "left") if across else ("down", "up")
        else:
            self.ends = ("long", "short")
        if getattr(frame, self._field) is None:
            raise RtelastoError(f"show: engine {frame.engine} gives no {self._words}")

    def values(self, frame: StrainFrame) -> Masked:
        image = self._factor * getattr(frame, self._field)
        reliable = frame.correlation >= self._mask_below
        return np.ma.masked_array(image, ~(np.isfinite(image) & reliable))

    def title(self, frame: StrainFrame, values: Masked) -> str:
        return self._words if values.count() else f"{self._words} (none is reliable)"

    def limits(self, values: NDArray[np.floating]) -> Limits:
        """0 in the middle, to the 97th percentile of the magnitude."""
        most = float(np.percentile(np.abs(values), 97.0)) if values.size else 0.0
        return -max(most, 1e-3), max(most, 1e-3)


class AccumulatedImage(SignedImage):
    """Accumulated motion, over the B-mode of its reference frame.

    Raises
    ------
    RtelastoError
        If nothing was accumulated, or the engine does not give it.
    """

    def __init__(self, shown: str, frame: StrainFrame) -> None:
        if frame.accumulated_axial_strain is None:
            raise RtelastoError(f"show: {shown} needs accumulate")
        super().__init__(shown, frame, 0.0)

    def title(self, frame: StrainFrame, values: Masked) -> str:
        return f"{super().title(frame, values)}, frames {frame.accumulated_from} → {frame.frame_ids[1]}"

    def at_frame(self, frame: StrainFrame) -> int:
        return super().at_frame(frame) if frame.accumulated_from is None else frame.accumulated_from

    def strength(self, frame: StrainFrame) -> float:
        values = self.values(frame).compressed()
        return float(np.median(np.abs(values))) if values.size else -1.0


def layer_of(frame: StrainFrame, shown: Shown, mask_below: float) -> Layer:
    """Return the layer that shows ``shown`` of frames like this one.

    Raises
    ------
    RtelastoError
        If there is no such image, or the frame does not have it.
    """
    if shown not in get_args(Shown):
        raise RtelastoError(f"show must be one of {', '.join(get_args(Shown))}, got {shown!r}")
    if shown.startswith("accumulated"):
        return AccumulatedImage(shown, frame)
    if shown != "strain":
        return SignedImage(shown, frame, mask_below)
    return PairStrain(mask_below) if frame.relative_strain is None else RelativeStrain()
