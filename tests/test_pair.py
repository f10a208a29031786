"""Pairing: lags, breaks in the sequence, the adaptive policy, exact accounting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pairing import Pairing

FORMAT = RfFormat(
    n_lines=2, n_samples=8, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
GRID = Grid(1, 1, 1e-4, 2e-4)


def frame(frame_id: int, *, stream: str = "a", rf_format: RfFormat = FORMAT) -> RfFrame:
    samples = np.zeros((rf_format.n_lines, rf_format.n_samples), np.int16)
    return RfFrame(samples, rf_format, FrameStamp(frame_id=frame_id, stream=stream))


def strain(applied: float, quality: float = 0.95) -> StrainFrame:
    image = np.zeros((1, 1), np.float32)
    return StrainFrame(image, image, image, GRID, applied_strain=applied, quality=quality)


def ids(pair: FramePair | None) -> tuple[int, int] | None:
    return None if pair is None else (pair.pre.frame_id, pair.post.frame_id)


def test_consecutive_pairs_every_frame_with_the_one_before() -> None:
    pairing = Pairing(PairPolicy.parse("consecutive"))
    assert [ids(pairing.push(frame(i))) for i in range(4)] == [None, (0, 1), (1, 2), (2, 3)]
    assert pairing.counters["pair.first"] == 1


def test_a_lag_pairs_frames_that_far_apart() -> None:
    pairing = Pairing(PairPolicy.parse("lag 3"))
    pairs = [ids(pairing.push(frame(i))) for i in range(10, 16)]
    assert pairs == [None, None, None, (10, 13), (11, 14), (12, 15)]


@pytest.mark.parametrize(
    ("following", "cause"),
    [
        (frame(1), "back"),
        (frame(0), "back"),
        (frame(2, stream="b"), "stream"),
        (
            frame(
                2,
                rf_format=RfFormat(
                    n_lines=2,
                    n_samples=8,
                    sampling_freq_hz=20e6,
                    center_freq_hz=6.25e6,
                    line_pitch_m=2e-4,
                ),
            ),
            "format",
        ),
    ],
)
def test_a_break_starts_the_sequence_anew(following: RfFrame, cause: str) -> None:
    pairing = Pairing(PairPolicy(lag=1))
    pairing.push(frame(0))
    assert ids(pairing.push(frame(1))) == (0, 1)
    assert pairing.push(following) is None
    assert pairing.counters[f"pair.reset.{cause}"] == 1
    after = frame(following.frame_id + 1, stream=following.stream, rf_format=following.format)
    assert ids(pairing.push(after)) == (following.frame_id, following.frame_id + 1)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.integers(1, 4),
)
def test_every_frame_makes_a_pair_or_is_counted(steps: list[int], lag: int) -> None:
    pairing = Pairing(PairPolicy(lag=lag))
    frame_id = pairs = 0
    for step in steps:
        frame_id += step
        pair = pairing.push(frame(frame_id))
        if pair is not None:
            pairs += 1
            assert pair.post.frame_id - pair.pre.frame_id == lag == pair.lag
    assert pairs + pairing.counters["pair.first"] == len(steps)


def drive(pairing: Pairing, strain_per_frame: float, frames: int) -> list[int]:
    """Push frames of a steady press; the lags of the pairs that came."""
    lags = []
    for i in range(frames):
        pair = pairing.push(frame(i))
        if pair is not None:
            pairing.observe(pair, strain(-strain_per_frame * pair.lag))
            lags.append(pair.lag)
    return lags


def test_the_adaptive_policy_settles_on_the_lag_that_meets_the_target() -> None:
    policy = PairPolicy.parse("adaptive", target_strain=0.006, max_lag=20)
    assert drive(Pairing(policy), 0.0005, 60)[-1] == 12
    assert drive(Pairing(policy), 0.01, 30)[-1] == 1
    assert drive(Pairing(policy), 0.00001, 60)[-1] == 20


def test_a_decorrelated_pair_is_refused_and_the_lag_comes_down() -> None:
    pairing = Pairing(PairPolicy.parse("adaptive", target_strain=0.006, max_lag=16))
    drive(pairing, 0.0005, 40)
    pair = pairing.push(frame(40))
    assert pair is not None
    assert pair.lag == 12
    assert not pairing.observe(pair, strain(-0.004, quality=0.2))
    assert pairing.counters["pair.decorrelated"] == 1
    closer = pairing.push(frame(41))
    assert closer is not None
    assert closer.lag <= 7


def test_a_fixed_lag_refuses_nothing() -> None:
    pairing = Pairing(PairPolicy(lag=1))
    pairing.push(frame(0))
    pair = pairing.push(frame(1))
    assert pair is not None
    assert pairing.observe(pair, strain(0.0, quality=0.0))


@pytest.mark.parametrize("text", ["", "lag", "lag 0", "lag -1", "every", "lag 1000"])
def test_what_is_no_policy_is_refused_by_name(text: str) -> None:
    with pytest.raises(RtelastoError, match=r"pairing|lag"):
        PairPolicy.parse(text)
