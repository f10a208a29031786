"""How frames are paired: consecutive, with a fixed lag, or by the strain between them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rtelasto.errors import RtelastoError
from rtelasto.pipeline.recent_frames import RecentFrames
from rtelasto.telemetry.counters import Counters


@dataclass(frozen=True, slots=True)
class PairPolicy:
    """How frames are paired.

    Parameters
    ----------
    lag
        Acquisitions between pre- and post-compression frame; with None the strain decides.
    target_strain
        For the adaptive policy: the applied strain (magnitude, dimensionless) to aim for.
    max_lag
        For the adaptive policy: how many acquisitions it reaches back.
    min_quality
        For the adaptive policy: pairs with a lower median post-warp correlation are refused.
    max_lag_s
        For the adaptive policy: how far it reaches back in time, s. The frame before the newest can always
        be its partner.
    """

    lag: int | None = 1
    target_strain: float = 0.007
    max_lag: int = 64
    min_quality: float = 0.5
    max_lag_s: float = 0.5

    def __post_init__(self) -> None:
        if self.lag is not None and not 1 <= self.lag <= 256:
            raise RtelastoError(f"lag must lie in 1…256, got {self.lag}")
        if not 1 <= self.max_lag <= 256:
            raise RtelastoError(f"max_lag must lie in 1…256, got {self.max_lag}")
        if not 0.01 <= self.max_lag_s <= 10.0:
            raise RtelastoError(f"max_lag_s must lie in 0.01…10 s, got {self.max_lag_s:g}")
        if not 1e-4 <= self.target_strain <= 0.05:
            raise RtelastoError(
                f"target_strain must lie in 0.0001…0.05 (0.01 % to 5 %), got {self.target_strain:g}"
            )
        if not 0.0 <= self.min_quality < 1.0:
            raise RtelastoError(f"min_quality must lie in 0…1, got {self.min_quality:g}")

    @classmethod
    def parse(cls, text: str, **others: float) -> PairPolicy:
        """Parse ``consecutive``, ``lag N`` (or ``lag=N``, ``N``) or ``adaptive``; ``others`` by name.

        Raises
        ------
        RtelastoError
            If the text is none of these or a value is out of range.
        """
        word = text.strip().lower()
        if word == "consecutive":
            return cls(lag=1, **others)  # type: ignore[arg-type]
        if word == "adaptive":
            return cls(lag=None, **others)  # type: ignore[arg-type]
        match = re.fullmatch(r"(?:lag[\s=:]*)?(\d+)", word)
        if match is None:
            raise RtelastoError(
                f"pairing must be 'consecutive', 'lag N' or 'adaptive', got {text!r}"
            )
        return cls(lag=int(match.group(1)), **others)  # type: ignore[arg-type]

    @property
    def history(self) -> int:
        """How many acquisitions back pairs reach."""
        return self.max_lag if self.lag is None else self.lag

    def recent_frames(self, counters: Counters | None = None) -> RecentFrames:
        """Create a ring that holds every frame that this policy may choose."""
        max_lag_s = self.max_lag_s if self.lag is None else None
        return RecentFrames(self.history, max_lag_s, counters=counters)
