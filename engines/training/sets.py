"""The training sets: which kinds of pairs each contains, and how far their stretch is off."""

from __future__ import annotations

from dataclasses import dataclass

from rtelasto_engines.training.broad import TrainingKind


@dataclass(frozen=True, slots=True)
class StretchError:
    """Standard deviations of the stretch's estimate about the best linear fit."""

    offset_samples: float
    slope: float
    lateral_lines: float


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The kinds of pairs in the order of the seeds, the error of their stretch, and the pairs of a tissue."""

    kinds: tuple[TrainingKind, ...]
    stretch_error: StretchError
    pairs_per_tissue: int = 4

    @property
    def pairs_per_block(self) -> int:
        """Neighbouring seeds that share their finite-element tissues: one for each kind that has its own.

        ``near`` has those of ``published``.
        """
        return self.pairs_per_tissue * len(self.kinds)

    def kind_of(self, seed: int) -> TrainingKind:
        """Return the kind of a seed."""
        return self.kinds[seed % len(self.kinds)]


# That of the broad set is above what trials on simulated pairs showed; that of a press of published tissue is
# what the pipeline leaves there.
_BROAD_ERROR = StretchError(offset_samples=1.0, slope=0.001, lateral_lines=0.25)
_SMALL_ERROR = StretchError(offset_samples=0.4, slope=0.0004, lateral_lines=0.1)
SETS = {
    # Three in eight need finite elements, which take most of the time.
    "broad": TrainingSet(
        ("published", "inclusion", "random", "smooth", "layers", "slip", "ideal", "slip"),
        _BROAD_ERROR,
    ),
    # Many tissues with sharp boundaries: edges are learned from tissues, not from repeated pairs of a few.
    "sharp": TrainingSet(("published", "inclusion", "random"), _BROAD_ERROR, pairs_per_tissue=2),
    # No finite elements: a pair takes a tenth of the time.
    "fine": TrainingSet(("layers", "slip", "layers", "ideal"), _BROAD_ERROR),
    "small": TrainingSet(("discs",), _SMALL_ERROR),
    "published": TrainingSet(("published",), _SMALL_ERROR, pairs_per_tissue=1),
    "near": TrainingSet(("published", "near"), _SMALL_ERROR),
}
