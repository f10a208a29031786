"""Broken streams over real loopback sockets: `rtelasto doctor --rf` names what is wrong with each."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from time import monotonic_ns

import channel_echoes
import numpy as np
import processes
import pytest
from speckle import speckle_pair
from waiting import WAIT_S

from rtelasto.frames.channel import ChannelFormat, PlaneWave
from rtelasto.frames.iq import IqFormat, ScannerFormat
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation
from rtelasto.live.stream_check.check import StreamCheck
from rtelasto.live.stream_check.finding import StreamReport
from rtelasto.live.stream_check.times import judge_times
from rtelasto.transport.receivers import Receiver
from rtelasto.transport.rf_sender import RfSender
from rtelasto.transport.sockets import PublishingSocket
from rtelasto.wire.message import TOPIC_RF
from rtelasto.wire.rf import encode_rf

LOOPBACK = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0
FORMAT = RfFormat(
    n_lines=32, n_samples=640, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
# What depends on how fast this machine sends.
TIMES = {"uneven rate", "slow", "clock rate", "old frames"}


@cache
def press(n: int = 12, strain: float = -0.002) -> tuple[np.ndarray, ...]:
    """Frames of tissue that is compressed by 0.2 % from frame to frame."""
    return tuple(
        speckle_pair(
            np.random.default_rng(7),
            rf_format=FORMAT,
            elongation=Elongation(axial_slope=k * strain),
        ).post.samples
        for k in range(n)
    )


def send(
    sender: RfSender,
    frames: Sequence[np.ndarray],
    scanner_format: ScannerFormat | Sequence[ScannerFormat] = FORMAT,
    *,
    frame_id: Callable[[int], int] = int,
    acquired_ns: Callable[[int], int] = lambda k: monotonic_ns(),
) -> None:
    """Send frames as soon as there is a subscriber."""
    formats = (
        scanner_format if isinstance(scanner_format, Sequence) else [scanner_format] * len(frames)
    )
    assert sender.wait_for_subscriber(PATIENCE_S)
    for k, (samples, one) in enumerate(zip(frames, formats, strict=True)):
        sender.send(samples, one, frame_id=frame_id(k), acquired_ns=acquired_ns(k))


def looked_at(
    frames: Sequence[np.ndarray],
    scanner_format: ScannerFormat | Sequence[ScannerFormat] = FORMAT,
    *,
    clock: str = "monotonic",
    **stamps: Callable[[int], int],
) -> StreamReport:
    """Send frames over a loopback socket and return what the check says."""
    with RfSender(LOOPBACK, clock=clock, send_hwm=1000) as sender:
        check = StreamCheck(sender.endpoint)
        with Receiver(sender.endpoint, counters=check.counters, deliver=check.add) as receiver:
            send(sender, frames, scanner_format, **stamps)
            assert receiver.counters.wait_for("received", len(frames), PATIENCE_S)
    return check.report()


def causes(report: StreamReport) -> set[str]:
    return report.names - TIMES


def test_a_good_stream_has_no_findings_and_the_pairing_that_suits_it() -> None:
    report = looked_at(press())
    assert causes(report) == set()
    assert "0.20" in report.facts["strain"]
    assert report.facts["pairing"].startswith("--pair adaptive --target-strain 0.007")
    assert report.facts["format"].startswith("RF lines: n_lines 32, n_samples 640")


def test_no_sender_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    check = StreamCheck(endpoint)
    with Receiver(endpoint, counters=check.counters, deliver=check.add) as receiver:
        receiver.get(0.1)
    assert check.report().names == {"no sender"}


def test_a_port_of_another_program_is_named_as_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        endpoint = f"tcp://127.0.0.1:{foreign.getsockname()[1]}"
        check = StreamCheck(endpoint)
        with Receiver(endpoint, counters=check.counters, deliver=check.add) as receiver:
            foreign.accept()[0].close()
            assert receiver.counters.wait_for("refused", 1, PATIENCE_S)
    assert check.report().names == {"refused"}


def test_a_sender_without_frames_is_named() -> None:
    with RfSender(LOOPBACK) as sender:
        check = StreamCheck(sender.endpoint)
        with Receiver(sender.endpoint, counters=check.counters, deliver=check.add) as receiver:
            assert receiver.counters.wait_for("connected", 1, PATIENCE_S)
    assert check.report().names == {"no frames"}


def test_malformed_messages_are_named_with_their_cause() -> None:
    parts = encode_rf(RfFrame(press()[0], FORMAT), stream="a", seq=0)
    with closing(PublishingSocket(LOOPBACK, send_hwm=100, linger_ms=1000)) as sender:
        check = StreamCheck(sender.endpoint)
        with Receiver(sender.endpoint, counters=check.counters, deliver=check.add) as receiver:
            assert sender.subscribed(TOPIC_RF, PATIENCE_S)
            sender.send([*parts[:2], bytes(10)])
            assert receiver.counters.wait_for("malformed.size", 1, PATIENCE_S)
    (finding,) = check.report().findings
    assert finding.name == "malformed messages"
    assert "malformed.size" in finding.sentence
    assert "samples × lines" in finding.advice


def test_frames_lost_on_the_wire_are_distinguished_from_skipped_ones() -> None:
    frames = press()
    with closing(PublishingSocket(LOOPBACK, send_hwm=100, linger_ms=1000)) as sender:
        check = StreamCheck(sender.endpoint)
        with Receiver(sender.endpoint, counters=check.counters, deliver=check.add) as receiver:
            assert sender.subscribed(TOPIC_RF, PATIENCE_S)
            for k, samples in enumerate(frames):
                lost, skipped = 5 * (k >= 6), 2 * (k >= 9)
                stamp = FrameStamp(k + lost + skipped, monotonic_ns())
                frame = RfFrame(samples, FORMAT, stamp)
                sender.send(encode_rf(frame, stream="a", seq=k + lost, clock="monotonic"))
            assert receiver.counters.wait_for("received", len(frames), PATIENCE_S)
    report = check.report()
    assert causes(report) == {"lost on the wire", "skipped frames"}
    sentences = {finding.name: finding.sentence for finding in report.findings}
    assert sentences["lost on the wire"].startswith("5 of 17 frames")
    assert sentences["skipped frames"].startswith("2 frame ids")


def test_renumbered_frames_are_named_as_a_restart() -> None:
    assert causes(looked_at(press(), frame_id=lambda k: k % 6)) == {"restarts"}


def test_a_frame_id_that_comes_twice_is_named() -> None:
    assert "repeated frames" in causes(looked_at(press(), frame_id=lambda k: k - (k == 4)))


def test_a_change_of_depth_is_named_with_what_changed() -> None:
    deeper = replace(FORMAT, start_depth_m=0.01)
    report = looked_at(press(), [FORMAT] * 3 + [deeper] * 9)
    assert causes(report) == {"format changes"}
    assert "start_depth_m" in report.findings[0].sentence


def test_copies_under_a_new_number_are_named() -> None:
    frames = [samples for samples in press()[:6] for _ in range(2)]
    assert "repeated samples" in causes(looked_at(frames))


def test_saturation_is_named() -> None:
    frames = [
        np.clip(12 * samples.astype(np.int32), -32768, 32767).astype(np.int16)
        for samples in press()
    ]
    assert causes(looked_at(frames)) == {"saturation"}


def test_clipping_below_the_limits_of_the_type_is_named() -> None:
    assert causes(looked_at([np.clip(samples, -2048, 2047) for samples in press()])) == {
        "saturation"
    }


def test_a_dc_offset_is_named() -> None:
    assert causes(looked_at([samples + np.int16(2000) for samples in press()])) == {"DC offset"}


def test_a_weak_signal_is_named() -> None:
    assert "weak signal" in causes(looked_at([samples // 2048 for samples in press()]))


@pytest.mark.parametrize(
    ("value", "name"), [(0.0, "constant frames"), (np.nan, "nonfinite frames")]
)
def test_frames_without_an_image_are_named(value: float, name: str) -> None:
    frames = [samples.astype(np.float32) for samples in press()]
    frames[3] = np.full_like(frames[3], value)
    report = looked_at(frames)
    assert causes(report) == {name}
    silent = looked_at([np.full((32, 640), value, np.float32)] * 4)
    assert causes(silent) == {name}


def test_noise_is_named_as_decorrelation() -> None:
    rng = np.random.default_rng(3)
    frames = [rng.normal(scale=1000.0, size=(32, 640)).astype(np.int16) for _ in range(6)]
    assert "decorrelation" in causes(looked_at(frames))


def test_a_still_probe_is_named_as_rest() -> None:
    rng = np.random.default_rng(5)
    frames = [press()[0] + rng.integers(-9, 9, (32, 640), np.int16) for _ in range(8)]
    assert causes(looked_at(frames)) == {"at rest"}


def test_too_little_strain_suggests_a_target() -> None:
    report = looked_at(press(12, -0.0002))
    assert causes(report) == {"little strain"}
    assert report.facts["pairing"].startswith("--pair adaptive --target-strain 0.00")


def test_too_much_strain_suggests_consecutive_pairs() -> None:
    report = looked_at(press(6, -0.02))
    assert causes(report) == {"much strain"}
    assert report.facts["pairing"] == "--pair consecutive"


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_wrong_centre_frequency_is_named(factor: float) -> None:
    wrong = replace(FORMAT, center_freq_hz=factor * FORMAT.center_freq_hz)
    assert "wrong centre frequency" in causes(looked_at(press(), wrong))


def test_attenuation_with_depth_is_not_taken_for_a_wrong_centre_frequency() -> None:
    lower = replace(FORMAT, center_freq_hz=4.5e6)
    deep = speckle_pair(np.random.default_rng(4), rf_format=lower).pre.samples
    frames = [np.hstack([samples[:, :200], deep[:, 200:]]) for samples in press()]
    assert "wrong centre frequency" not in looked_at(frames).names


def test_stamps_that_go_back_are_named() -> None:
    start_ns = monotonic_ns()
    report = looked_at(press(), acquired_ns=lambda k: start_ns + 1_000_000 * (k - 8 * (k > 6)))
    assert causes(report) == {"clock steps back"}


def test_an_unknown_clock_is_named() -> None:
    assert causes(looked_at(press(), clock="unknown")) == {"unknown clock"}


def test_old_frames_are_named() -> None:
    report = looked_at(press(), acquired_ns=lambda k: monotonic_ns() - 2_000_000_000)
    assert "old frames" in report.names


def test_iq_pixels_are_judged_as_the_pipeline_sees_them() -> None:
    iq = IqFormat(
        n_lines=32, n_samples=640, sampling_freq_hz=40e6, demodulation_freq_hz=6.25e6,
        center_freq_hz=6.25e6, line_pitch_m=3e-4,
    )  # fmt: skip
    carrier = np.exp(-2j * np.pi * 6.25e6 / 40e6 * np.arange(640))
    frames = []
    for samples in press():
        spectrum = np.fft.fft(samples, axis=1)
        spectrum[:, 320:] = 0.0
        frames.append((2.0 * np.fft.ifft(spectrum, axis=1) * carrier).astype(np.complex64))
    report = looked_at(frames, iq)
    assert causes(report) == set()
    assert "IQ pixels" in report.facts["format"]
    assert "0.2" in report.facts["strain"]


@pytest.mark.slow
def test_channel_data_are_judged_as_the_pipeline_sees_them() -> None:
    channels = ChannelFormat(
        n_acquisitions=1, n_channels=32, n_samples=400, sampling_freq_hz=25e6, center_freq_hz=6.25e6,
        element_pitch_m=3e-4, n_elements=32, transmits=(PlaneWave(0.0),), first_elements=(0,),
    )  # fmt: skip
    rng = np.random.default_rng(2)
    targets = [(float(x), float(z)) for x, z in rng.uniform((-4e-3, 2e-3), (4e-3, 11e-3), (150, 2))]
    frames = [
        channel_echoes.echoes(channels, [(x, z * (1.0 - 0.003 * k)) for x, z in targets])
        for k in range(4)
    ]
    report = looked_at(frames, channels)
    assert "decorrelation" not in report.names
    assert "channel data" in report.facts["format"]
    assert "% per frame" in report.facts["strain"]


def stamps(n: int = 50, *, period_s: float = 0.02, late_s: Callable[[int], float] = lambda k: 0.0):
    return [
        FrameStamp(
            k, round(1e9 * (100 + k * period_s + late_s(k))), clock="monotonic", stream="a", seq=k,
            received_ns=round(1e9 * (100.001 + k * period_s + late_s(k))),
        )
        for k in range(n)
    ]  # fmt: skip


def names_of(of: Sequence[FrameStamp]) -> set[str]:
    return {finding.name for finding in judge_times("tcp://127.0.0.1:5555", of)[1]}


def test_an_even_stream_has_no_findings_in_time() -> None:
    facts, found = judge_times("tcp://127.0.0.1:5555", stamps())
    assert not found
    assert facts["rate"].startswith("50.0 frames/s")
    assert facts["age"].startswith("1 ms on arrival")


def test_an_uneven_stream_is_named() -> None:
    assert names_of(stamps(late_s=lambda k: 0.015 * (k % 4 == 0))) == {"uneven rate"}


def test_a_slow_stream_is_named() -> None:
    assert names_of(stamps(10, period_s=0.4)) == {"slow"}


def test_stamps_in_microseconds_are_named() -> None:
    micro = [replace(stamp, acquired_ns=stamp.acquired_ns // 1000) for stamp in stamps()]
    assert "clock rate" in names_of(micro)


@pytest.mark.slow
def test_doctor_prints_what_is_wrong_and_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    done = processes.finish("doctor", "--rf", endpoint, "--seconds", "0.5")
    assert f"no sender: no program answers at {endpoint}" in done.stdout
    assert "start the sender" in done.stdout


def _noise() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(scale=1000.0, size=(32, 640)).astype(np.int16) for _ in range(6)]


# Cause → how its stream is sent, and a part of what `doctor` prints about it besides the name.
BROKEN: dict[str, tuple[Callable[[RfSender], None], str]] = {
    "format changes": (
        lambda to: send(to, press(), [FORMAT] * 3 + [replace(FORMAT, start_depth_m=0.01)] * 9),
        "start_depth_m",
    ),
    "uneven rate": (
        lambda to: send(
            to, press(), acquired_ns=lambda k: round(1e9 * (1 + 0.02 * k + 0.015 * (k % 4 == 0)))
        ),
        "times as late as usual",
    ),
    "skipped frames": (lambda to: send(to, press(), frame_id=lambda k: 2 * k), "11 frame ids"),
    "clock steps back": (
        lambda to: send(to, press(), acquired_ns=lambda k: 1_000_000 * (100 + k - 8 * (k > 6))),
        "went back 1 times",
    ),
    "saturation": (
        lambda to: send(to, [np.clip(samples, -2048, 2047) for samples in press()]),
        "lower the receive gain",
    ),
    "DC offset": (
        lambda to: send(to, [samples + np.int16(2000) for samples in press()]),
        "subtract",
    ),
    "decorrelation": (lambda to: send(to, _noise()), "stay in the plane"),
    "little strain": (lambda to: send(to, press(12, -0.0002)), "--target-strain 0.00"),
    "much strain": (lambda to: send(to, press(6, -0.02)), "--pair consecutive"),
}


def doctor(rf: str, break_it: Callable[[], None]) -> str:
    """What `rtelasto doctor --rf` prints, run beside a stream."""
    with processes.running("doctor", "--rf", rf, "--seconds", "4") as process:
        break_it()
        printed, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, errors
    return printed


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_doctor_names_the_cause_of_a_broken_stream(name: str) -> None:
    send_broken, hint = BROKEN[name]
    with RfSender(LOOPBACK, send_hwm=1000) as sender:
        printed = doctor(sender.endpoint, lambda: send_broken(sender))
    assert f"\n{name}: " in printed
    assert hint in printed


@pytest.mark.slow
def test_doctor_names_malformed_messages_and_what_is_wrong_with_them() -> None:
    parts = encode_rf(RfFrame(press()[0], FORMAT), stream="a", seq=0)
    with closing(PublishingSocket(LOOPBACK, send_hwm=100, linger_ms=1000)) as sender:

        def send_cut() -> None:
            assert sender.subscribed(TOPIC_RF, PATIENCE_S)
            sender.send([*parts[:2], bytes(10)])

        printed = doctor(sender.endpoint, send_cut)
    assert "malformed messages: 1 message dropped as malformed.size" in printed
