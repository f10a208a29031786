"""The age of frames: a clock offset found from stamps and arrivals alone, and frames marked by it."""

from __future__ import annotations

import threading
from time import monotonic_ns

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import WAIT_S

from rtelasto.bench.stages import timing_frames
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import StrainFrame
from rtelasto.live.run import LiveRun
from rtelasto.outputs.viewer import ViewSettings
from rtelasto.settings import RunSettings
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.clock_offset import DRIFT_PPM, MAX_AGE_NS, ClockOffset, StrainAges
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.rf_sender import RfSender
from rtelasto.wire.strain import StrainMessage

AWAY, HERE = "tcp://10.0.0.5:5555", "tcp://127.0.0.1:5555"
MS, S = 1_000_000, 1_000_000_000
PERIOD_NS = 50 * MS

offsets = st.integers(-(2**62), 2**62)
transits = st.lists(st.integers(0, 200 * MS), min_size=1, max_size=120)


class Line:
    """A sender whose clock shows host time − offset, and a link; acquisitions a period apart."""

    def __init__(self, offset_ns: int, *, endpoint: str = AWAY, clock: str = "monotonic") -> None:
        self.counters = Counters()
        self.estimate = ClockOffset(endpoint, self.counters)
        self.offset_ns = offset_ns
        self.drift_ppm = 0
        self.clock = clock
        self.host_ns = 1000 * S
        self.stamp_ns = 0
        self.received_ns = 0

    def send(self, transit_ns: int, period_ns: int = PERIOD_NS) -> None:
        self.host_ns += period_ns
        self.offset_ns += period_ns * self.drift_ppm // 1_000_000
        self.stamp_ns = self.host_ns - self.offset_ns
        # A link keeps the order.
        self.received_ns = max(self.received_ns, self.host_ns + transit_ns)
        self.estimate.observe("run", self.clock, self.stamp_ns, self.received_ns)

    @property
    def transit_ns(self) -> int:
        """How long the last frame was on its way."""
        return self.received_ns - self.host_ns

    @property
    def error_ns(self) -> int:
        """By how much the last frame is taken for younger than it is."""
        here_ns = self.estimate.here_ns("run", self.stamp_ns)
        assert here_ns is not None
        return here_ns - self.host_ns


def risen_ns(duration_ns: int) -> int:
    return duration_ns * DRIFT_PPM // 1_000_000


@given(offsets, transits)
def test_the_offset_is_found_within_the_least_transit(offset_ns: int, delays: list[int]):
    line = Line(offset_ns)
    least = 2**63
    for delay in delays:
        line.send(delay)
        least = min(least, line.transit_ns)
        assert 0 <= line.error_ns <= least + risen_ns(len(delays) * 2 * PERIOD_NS + 200 * MS)
        assert line.error_ns <= line.transit_ns
    assert line.counters["clock.steps"] == 0


@given(offsets, transits, st.integers(PERIOD_NS + 1, 10**15))
def test_a_clock_stepped_back_starts_anew(offset_ns: int, delays: list[int], step_ns: int):
    line = Line(offset_ns)
    for delay in delays:
        line.send(delay)
    line.offset_ns += step_ns
    for delay in delays:
        line.send(delay)
        assert 0 <= line.error_ns <= line.transit_ns
    assert line.counters["clock.steps"] == 1


@given(offsets, transits, st.integers(1, 10**15))
def test_a_clock_stepped_forward_is_followed_at_once(
    offset_ns: int, delays: list[int], step_ns: int
):
    line = Line(offset_ns)
    for delay in delays:
        line.send(delay)
    line.offset_ns -= step_ns
    line.send(0)
    assert 0 <= line.error_ns <= line.transit_ns


@settings(max_examples=20)
@given(offsets, st.integers(-100, 100), st.integers(0, 2**32 - 1))
def test_drift_of_100_ppm_under_jitter_stays_within_milliseconds(
    offset_ns: int, drift_ppm: int, seed: int
):
    line = Line(offset_ns)
    line.drift_ppm = drift_ppm
    jitter_ms = np.random.default_rng(seed).exponential(5.0, 20 * 600)
    worst = 0
    for number, ms in enumerate(jitter_ms):
        line.send(int(ms * MS))
        if number > 20:
            worst = max(worst, abs(line.error_ns))
    # Ten minutes move the clocks by up to 60 ms.
    assert worst < 5 * MS


def test_a_queue_that_delays_every_frame_does_not_pass_for_drift():
    line = Line(7 * S)
    for _ in range(20):
        line.send(2 * MS)
    for _ in range(20 * 600):
        line.send(1000 * MS)
    age_ns = line.estimate.age_ns("run", line.stamp_ns, line.received_ns)
    assert age_ns is not None
    assert age_ns > 850 * MS


def test_clocks_without_a_rate_tell_no_age():
    for clock, told in (
        ("recording", False),
        ("unknown", False),
        ("unix", True),
        ("scanner", True),
    ):
        line = Line(5, clock=clock, endpoint=HERE)
        line.send(MS)
        assert (line.estimate.here_ns("run", line.stamp_ns) is not None) == told
        assert not line.estimate.exact
        assert line.estimate.here_ns("another run", line.stamp_ns) is None


def test_on_this_machine_the_monotonic_clock_is_ours():
    line = Line(0, endpoint=HERE)
    for delay in (40 * MS, 900 * MS, 90 * S):
        line.send(delay)
        assert line.estimate.exact
        assert line.error_ns == 0
    for offset_ns in (3600 * S, -3600 * S):  # a tunnel: the clock is of a machine behind it
        line = Line(offset_ns, endpoint=HERE)
        line.send(3 * MS)
        assert not line.estimate.exact
        assert line.error_ns == 3 * MS


def test_a_restart_of_the_sender_starts_anew():
    estimate = ClockOffset(AWAY)
    estimate.observe("one", "unix", 10 * S, 5 * S)
    estimate.observe("two", "unix", 3 * S, 6 * S)
    assert estimate.here_ns("two", 3 * S) == 6 * S
    assert estimate.here_ns("one", 10 * S) is None


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_an_age_always_fits_its_header(stamp_ns: int, received_ns: int, now_ns: int):
    for endpoint in (HERE, AWAY):
        estimate = ClockOffset(endpoint)
        estimate.observe("run", "monotonic", 0, 0)
        estimate.observe("run", "monotonic", stamp_ns, received_ns)
        age_ns = estimate.age_ns("run", stamp_ns, now_ns)
        assert age_ns is not None
        assert 0 <= age_ns <= MAX_AGE_NS


@pytest.mark.parametrize("stale_ms", [0.0, -1.0, 1e6, float("nan")])
def test_a_limit_that_cannot_be_is_refused(stale_ms: float):
    for settings_of in (RunSettings, ViewSettings):
        with pytest.raises(RtelastoError, match="stale_ms"):
            settings_of(stale_ms=stale_ms)


def strain_message(published_ns: int, **fields: object) -> StrainMessage:
    grid = Grid(1, 2, 1e-4, 1e-4)
    image = np.zeros(grid.shape, np.float32)
    frame = StrainFrame(image, image, image, grid, published_ns=published_ns).replace(**fields)
    return StrainMessage(frame, "pipeline", 0, "unix", {}, {})


def test_a_subscriber_adds_what_passed_since_publishing():
    ages = StrainAges(HERE)
    assert ages.begun_ns(strain_message(100 * S, age_ns=30 * MS), 100 * S + MS) == 100 * S - 30 * MS
    # Held back by 400 ms on the way, it is that much older.
    late = strain_message(101 * S, age_ns=30 * MS)
    assert ages.begun_ns(late, 101 * S + 400 * MS) == 101 * S - 30 * MS
    # Without an age it counts from its arrival at the pipeline.
    unknown = strain_message(102 * S, stage_ns={"total": 20 * MS})
    assert ages.begun_ns(unknown, 102 * S + MS) == 102 * S - 20 * MS
    elsewhere = StrainAges(AWAY)
    for at, passed in ((1 * S, 5 * MS), (2 * S, 5 * MS), (3 * S, 300 * MS)):
        begun_ns = elsewhere.begun_ns(strain_message(at, age_ns=0), 50 * S + at + passed)
    assert 0 <= begun_ns - (50 * S + 3 * S + 5 * MS) <= risen_ns(2 * S)


RF_FORMAT = RfFormat(
    n_lines=24, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)


@pytest.mark.parametrize(
    ("clock", "age_ms"), [("monotonic", 0), ("monotonic", 5000), ("recording", 0)]
)
def test_a_live_run_marks_what_its_sender_stamped_long_ago(clock: str, age_ms: int):
    frames = timing_frames(RF_FORMAT)
    with RfSender("tcp://127.0.0.1:0", clock=clock) as sender:
        # However slow this machine is, it is not the pipeline's own time that makes frames stale.
        run = RunSettings(
            rf=sender.endpoint,
            strain="tcp://127.0.0.1:0",
            engine="ncc",
            every=True,
            stale_ms=4000.0,
        )
        with LiveRun(run) as live, StrainReceiver(live.strain_endpoint, policy="every") as receiver:
            stop = threading.Event()
            reports = []
            running = threading.Thread(target=lambda: reports.append(live.run(stop)))
            running.start()
            assert sender.wait_for_subscriber(WAIT_S)
            assert receiver.counters.wait_for("statuses", 1, WAIT_S)
            for number, frame in enumerate(frames):
                stamp_ns = monotonic_ns() - age_ms * MS if clock == "monotonic" else number
                sender.send(frame.samples, RF_FORMAT, acquired_ns=stamp_ns)
            strain = [receiver.get(WAIT_S) for _ in range(2)]
            stop.set()
            running.join(WAIT_S)
    for message in strain:
        assert message is not None
        assert message.frame.stale == (age_ms > 4000)
        if clock == "monotonic":
            assert message.frame.age_ns is not None
            aged_ns = message.frame.published_ns - message.frame.acquired_ns
            assert age_ms * MS <= message.frame.age_ns <= aged_ns
            assert reports[0].latency_from == "acquisition"
        else:
            assert message.frame.age_ns is None
            assert reports[0].latency_from == "arrival"
    assert reports[0].counters.get("strain.stale", 0) == (2 if age_ms > 4000 else 0)
