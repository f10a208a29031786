"""The ring of recent frames: what it keeps, what empties it, and that every frame is counted once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtelasto.frames.iq import IqFormat, IqFrame
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pairing import Pairing
from rtelasto.pipeline.partner_search import Look
from rtelasto.pipeline.pipeline import Pipeline
from rtelasto.pipeline.recent_frames import RecentFrame, RecentFrames
from rtelasto.telemetry.counters import Counters, unaccounted

FORMAT = RfFormat(
    n_lines=2, n_samples=8, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
PERIOD_NS = 10_000_000


def frame(
    frame_id: int,
    *,
    stream: str = "a",
    rf_format: RfFormat = FORMAT,
    acquired_ns: int | None = None,
) -> RfFrame:
    samples = np.arange(rf_format.n_lines * rf_format.n_samples, dtype=np.int16)
    return RfFrame(
        samples.reshape(rf_format.n_lines, rf_format.n_samples),
        rf_format,
        FrameStamp(
            frame_id=frame_id,
            acquired_ns=frame_id * PERIOD_NS if acquired_ns is None else acquired_ns,
            stream=stream,
            received_ns=1,
        ),
    )


def ids(recent: RecentFrames) -> list[int]:
    """Of all frames in the ring; takes the newest."""
    newest = recent.take()
    assert newest is not None
    return [*(old.frame_id for old in reversed(recent.before(newest))), newest.frame_id]


def test_it_reaches_back_by_acquisitions_by_time_and_by_size() -> None:
    by_lag, by_time = RecentFrames(5), RecentFrames(100, 0.2)
    by_size = RecentFrames(100, max_bytes=7 * frame(0).samples.nbytes)
    for i in range(40):
        for recent in (by_lag, by_time, by_size):
            recent.add(frame(i))
    assert ids(by_lag) == list(range(34, 40))
    assert ids(by_time) == list(range(19, 40))
    assert ids(by_size) == list(range(33, 40))
    assert by_size.nbytes == 7 * frame(0).samples.nbytes


def test_the_frame_before_the_newest_stays_however_slow_the_scanner() -> None:
    recent = RecentFrames(5, 0.5)
    for i in range(4):
        recent.add(frame(i, acquired_ns=i * 3_000_000_000))
    assert ids(recent) == [2, 3]


def test_a_gap_does_not_empty_it() -> None:
    recent = RecentFrames(64, 0.5)
    for i in (0, 1, 2, 9, 10):
        recent.add(frame(i))
    assert ids(recent) == [0, 1, 2, 9, 10]
    assert not any(name.startswith("pair.reset") for name in recent.counters.snapshot())


@pytest.mark.parametrize(
    ("following", "cause"),
    [
        (frame(3, stream="b"), "stream"),
        (
            frame(
                3,
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
        (frame(1), "back"),
        (frame(3, acquired_ns=0), "back"),
    ],
)
def test_what_empties_it(following: RfFrame, cause: str) -> None:
    recent = RecentFrames(64, 0.5)
    for i in range(3):
        recent.add(frame(i))
    recent.add(following)
    assert ids(recent) == [following.frame_id]
    assert recent.counters.snapshot() == {f"pair.reset.{cause}": 1, "overflow": 3}


def test_a_pipeline_that_is_free_is_given_the_newest_frame_and_may_pair_it_with_any() -> None:
    pairing = Pairing(PairPolicy(lag=3))
    for i in range(6):
        pairing.recent.add(frame(i))
    newest = pairing.recent.take()
    assert newest is not None
    assert newest.frame_id == 5
    newest.lines = newest.scanned
    pair = pairing.pair(newest)
    assert pair is not None
    assert (pair.pre.frame_id, pair.post.frame_id, pair.lag) == (2, 5, 3)
    assert pairing.recent.take() is None
    pairing.recent.close()
    # 2 served as a partner, 0 and 1 fell out of the ring, 3 and 4 were never used.
    assert pairing.counters.snapshot() == {"overflow": 4, "partner_only": 1}


def test_frames_that_wait_when_a_run_ends_are_unread() -> None:
    recent = RecentFrames(64)
    for i in range(3):
        recent.add(frame(i))
    recent.close()
    assert recent.counters.snapshot() == {"unread": 3}


def test_a_waiting_pipeline_is_woken_by_a_frame() -> None:
    recent = RecentFrames(64)
    taken: list[int] = []

    def take() -> None:
        newest = recent.take(60.0)
        assert newest is not None
        taken.append(newest.frame_id)

    thread = threading.Thread(target=take)
    thread.start()
    recent.add(frame(7))
    thread.join(60.0)
    assert taken == [7]


class Instant:
    """Strains in proportion to the lag, at once."""

    device = "cpu"

    def __call__(self, pair: FramePair) -> StrainFrame:
        image = np.zeros((1, 1), np.float32)
        return StrainFrame(
            image, image, image, FORMAT.grid, quality=0.9, applied_strain=-1e-3 * pair.lag
        )

    def look(self, pair: FramePair) -> object:
        raise AssertionError("fixed lags need no look")


@given(
    arrivals=st.lists(
        st.tuples(
            st.sampled_from(["next", "gap", "stream", "back"]),
            st.sampled_from(["image", "constant", "nonfinite"]),
            st.booleans(),
        ),
        max_size=60,
    ),
    pair=st.sampled_from(["consecutive", "lag 3"]),
)
def test_every_frame_is_counted_once(arrivals: list[tuple[str, str, bool]], pair: str) -> None:
    counters = Counters()
    pipeline = Pipeline(Instant(), PairPolicy.parse(pair), counters)
    stream, frame_id = 0, 0
    for way, image, is_free in arrivals:
        stream += way == "stream"
        frame_id = 0 if way == "back" else frame_id + (3 if way == "gap" else 1)
        new = frame(frame_id, stream=str(stream))
        if image != "image":
            value = np.nan if image == "nonfinite" else 1.0
            samples = np.full(new.samples.shape, value, np.float32)
            new = RfFrame(
                samples,
                FORMAT,
                FrameStamp(frame_id, new.acquired_ns, stream=str(stream), received_ns=1),
            )
        counters.add("received")
        pipeline.recent.add(new)
        if is_free and (newest := pipeline.recent.take()) and pipeline.start_newest(newest):
            pipeline.collect()
    pipeline.recent.close()
    assert unaccounted(counters.snapshot()) == 0, counters.snapshot()


IQ_FORMAT = IqFormat(
    n_lines=16,
    n_samples=256,
    sampling_freq_hz=10e6,
    demodulation_freq_hz=5e6,
    center_freq_hz=5e6,
    line_pitch_m=3e-4,
)
IQ = np.ones((16, 256), np.complex64)


def test_iq_becomes_rf_lines_only_for_frames_that_are_used_and_once() -> None:
    rng = np.random.default_rng(0)
    pipeline = Pipeline(Instant(), PairPolicy.parse("lag 2"))
    converted: list[int] = []
    convert = pipeline._rf_lines

    def counting(scanned: IqFrame) -> RfFrame | None:
        converted.append(scanned.frame_id)
        return convert(scanned)

    counting.spent_ns = 1  # type: ignore[attr-defined]
    pipeline._rf_lines = counting  # type: ignore[assignment]
    for i in range(9):
        samples = (rng.standard_normal((16, 256)) + 1j).astype(np.complex64)
        pipeline.recent.add(
            IqFrame(samples, IQ_FORMAT, FrameStamp(i, i * PERIOD_NS, stream="a", received_ns=1))
        )
        if i in (3, 5, 8):
            newest = pipeline.recent.take()
            assert newest is not None
            assert pipeline.start_newest(newest)
            assert pipeline.collect() is not None
    assert converted == [3, 1, 5, 8, 6]
    assert not any(name.startswith("pair.reset") for name in pipeline.counters.snapshot())


def press(time_s: float) -> float:
    """A press of 1 % once a second."""
    return -0.005 * (1.0 - np.cos(2.0 * np.pi * time_s))


def chosen(
    frames_per_s: float,
    engine_s: float,
    *,
    looks: bool,
    seconds: float = 4.0,
    converted: list[int] | None = None,
    looked: list[FramePair] | None = None,
    hand: Callable[[float], float] = press,
) -> np.ndarray:
    """Applied strain of the pairs of a press, where a pair takes ``engine_s``: (time, strain) a row.

    With ``converted``, frames are IQ, and it receives the ids of those that become RF lines. ``looked``
    receives the pairs that were looked at.
    """
    counters = Counters()

    def strain_of(pair: FramePair) -> float:
        return hand(1e-9 * pair.post.acquired_ns) - hand(1e-9 * pair.pre.acquired_ns)

    def look(pair: FramePair) -> Look:
        if looked is not None:
            looked.append(pair)
        return Look(strain_of(pair), 0.95)

    def usable(recent: RecentFrame) -> bool:
        if recent.lines is None and converted is not None:
            converted.append(recent.frame_id)
        stamp = recent.scanned.stamp
        recent.lines = recent.lines or frame(stamp.frame_id, acquired_ns=stamp.acquired_ns)
        recent.usable = True
        return True

    pairing = Pairing(
        PairPolicy.parse("adaptive"),
        counters,
        usable=usable,
        look=look if looks else None,
    )
    rows = []
    free_s = 0.0
    image = np.zeros((1, 1), np.float32)
    for i in range(int(seconds * frames_per_s)):
        now_s = i / frames_per_s
        counters.add("received")
        added = frame(i, acquired_ns=round(1e9 * now_s))
        pairing.recent.add(added if converted is None else IqFrame(IQ, IQ_FORMAT, added.stamp))
        if now_s < free_s:
            continue
        newest = pairing.recent.take()
        assert newest is not None
        assert usable(newest)
        pair = pairing.pair(newest)
        if pair is None:
            continue
        strain = strain_of(pair)
        shown = StrainFrame(image, image, image, FORMAT.grid, quality=0.9, applied_strain=strain)
        assert pairing.observe(pair, shown)
        counters.add("strain.out")
        free_s = now_s + engine_s
        rows.append((now_s, strain))
    pairing.recent.close()
    assert unaccounted(counters.snapshot()) == 0
    return np.array(rows)


def reachable(times_s: np.ndarray) -> np.ndarray:
    """Whether the press reaches the target within the half second before each time."""
    back_s = np.arange(0.01, 0.5, 0.01)
    return np.array([max(abs(press(t) - press(t - back_s))) >= 0.007 for t in times_s])


@pytest.mark.parametrize(
    ("engine_s", "looks"),
    [
        *product([0.005, 0.02, 0.04, 0.06], [True, False]),
        # With fewer pairs than that, the prediction alone is not enough.
        *product([0.1, 0.2, 0.25, 0.3, 0.4], [True]),
    ],
)
def test_at_100_frames_a_second_pairs_reach_the_target_however_long_the_engine_takes(
    engine_s: float, looks: bool
) -> None:
    rows = chosen(100.0, engine_s, looks=looks, seconds=max(4.0, 40 * engine_s))
    after_a_press = rows[rows[:, 0] > 0.5]
    assert np.median(np.abs(after_a_press[:, 1])) >= 0.8 * 0.007
    hit = np.abs(after_a_press[reachable(after_a_press[:, 0]), 1])
    assert np.median(np.abs(hit - 0.007)) < 0.001
    assert np.mean(hit >= 0.8 * 0.007) > 0.9


@pytest.mark.parametrize("hand", [press, lambda _: 0.0], ids=["press", "rest"])
@pytest.mark.parametrize(
    ("engine_s", "most"), [(0.005, 1.1), (0.02, 1.1), (0.04, 1.1), (0.06, 1.1), (0.3, 3.1)]
)
def test_a_pair_costs_one_look_and_some_more_only_where_it_takes_long(
    engine_s: float, most: float, hand: Callable[[float], float]
) -> None:
    looked: list[FramePair] = []
    rows = chosen(100.0, engine_s, looks=True, seconds=6.0, looked=looked, hand=hand)
    assert len(looked) <= most * len(rows)


def test_frames_that_are_converted_already_are_preferred_as_partners() -> None:
    converted: list[int] = []
    rows = chosen(100.0, 0.04, looks=True, converted=converted)
    assert len(converted) == len(set(converted))
    # Each pair needs its newest frame; without the preference, nearly each needs a partner besides.
    assert len(converted) < 1.15 * len(rows)
    after_a_press = rows[rows[:, 0] > 0.5]
    assert np.median(np.abs(after_a_press[:, 1])) >= 0.8 * 0.007


def test_at_the_turn_of_a_press_the_far_side_of_the_ring_is_taken() -> None:
    rows = chosen(100.0, 0.02, looks=True)
    top = rows[np.abs(rows[:, 0] - 2.5) < 0.03]
    assert len(top) >= 2
    assert (np.abs(top[:, 1]) > 0.0055).all()
