"""The test sets: simulated pairs with seeds that no training set uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, RfFormat
from rtelasto_engines.simulate.channel import simulate_channel_pair
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair
from rtelasto_engines.simulate.tissue import Inclusion

FIRST_SEED = 9_000_000
"""Training sets use seeds from 1,000,000 up; the test sets start here, each kind at its own offset."""
_OFFSETS = {"published": 0, "random": 500_000, "channel": 700_000}
# The field gives the truth on the engine's grid; the truth on the RF grid may be coarse.
_TRUTH_STRIDE = 16

Kind = Literal["published", "random", "channel"]
KINDS: tuple[Kind, ...] = ("published", "random", "channel")


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPair:
    """A simulated pair in the form that the pipeline processes, with its truth."""

    kind: Kind
    seed: int
    frames: FramePair
    simulated: SimulatedPair

    @property
    def inclusion(self) -> Inclusion | None:
        """The inclusion of a tissue; None for random tissues, which may have several."""
        if self.kind == "random":
            return None
        (inclusion,) = self.simulated.metadata["tissue"]["inclusions"]
        return Inclusion(**inclusion)

    @property
    def conditions(self) -> dict[str, float]:
        """The conditions by which the results are binned."""
        metadata = self.simulated.metadata
        return {
            "echo_snr_db": float(metadata["artefacts"]["echo_snr_db"]),
            "applied_strain_percent": 100.0 * abs(float(metadata["applied_strain"])),
            "center_freq_mhz": 1e-6 * self.simulated.format.center_freq_hz,
        }


def held_out_pairs(
    kind: Kind,
    count: int,
    *,
    first_seed: int = FIRST_SEED,
    rf_format: RfFormat | None = None,
) -> Iterator[HeldOutPair]:
    """Yield ``count`` pairs of a kind, one per seed, simulated one at a time.

    Raises
    ------
    RtelastoError
        If ``first_seed`` could be one that an engine was trained on.
    MissingExtraError
        If scikit-fem, or PyMUST for channel-level pairs, is not installed.
    """
    if first_seed < FIRST_SEED:
        raise RtelastoError(
            f"seed must be at least {FIRST_SEED} (lower seeds are for training), got {first_seed}"
        )
    first_seed += _OFFSETS[kind]
    for seed in range(first_seed, first_seed + count):
        if kind == "channel":
            pair = simulate_channel_pair(seed, truth_stride=_TRUTH_STRIDE)
        else:
            pair = simulate_pair(seed, kind, rf_format=rf_format, truth_stride=_TRUTH_STRIDE)
        yield HeldOutPair(kind, seed, pair.frames, pair)
