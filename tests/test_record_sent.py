"""`record` keeps what the scanner sends: channel data, IQ and RF lines come back as the same messages."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import h5py
import msgpack
import numpy as np
import processes
import pytest
from channel_echoes import pressed_tissue
from clock import Clock
from waiting import WAIT_S
from wire_tap import Message, scanner, tap

pytest.importorskip("hdf5plugin", reason="the record extra is not installed")

from rtelasto.bench.rig import free_endpoint
from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, ChannelFrame, FocusedBeam, PlaneWave
from rtelasto.frames.iq import IqFormat, ScannerFormat, ScannerFrame, scanner_frame
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.stamp import FrameStamp
from rtelasto.offline.replay import Replayer
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.sinks.scanner_writers import ChannelWriter, frame_writer
from rtelasto.sinks.segment_writer import Segments
from rtelasto.sinks.zea_file import GZIP
from rtelasto.sources import open_recording
from rtelasto.telemetry.counters import Counters
from rtelasto.wire.formats import format_fields
from rtelasto.wire.message import MAX_HEADER_BYTES
from rtelasto.wire.rf import RfMessage, decode_rf, encode_rf

FC, C = 6.25e6, 1540.0
PLANES = ChannelFormat(
    n_acquisitions=2,
    n_channels=24,
    n_samples=640,
    sampling_freq_hz=4 * FC,
    center_freq_hz=FC,
    element_pitch_m=0.25e-3,
    n_elements=40,
    start_time_s=6e-6,
    sound_speed_m_s=C,
    transmits=(PlaneWave(-0.06, 2e-7), PlaneWave(0.06, 2e-7)),
    first_elements=(8, 8),
)
BEAMS = ChannelFormat(
    n_acquisitions=9,
    n_channels=16,
    n_samples=640,
    sampling_freq_hz=2 * FC,
    center_freq_hz=FC,
    element_pitch_m=0.25e-3,
    n_elements=24,
    start_time_s=6e-6,
    sound_speed_m_s=C,
    transmits=tuple(FocusedBeam(0.25e-3 * (k - 4), 1e-7) for k in range(9)),
    first_elements=tuple(range(9)),
    sampling="quadrature",
)
PIXELS = IqFormat(
    n_lines=24,
    n_samples=120,
    sampling_freq_hz=FC,
    demodulation_freq_hz=FC,
    center_freq_hz=0.98 * FC,
    line_pitch_m=0.25e-3,
    start_depth_m=4e-3,
    carrier="kept",
)
LINES = RfFormat(
    n_lines=24, n_samples=300, sampling_freq_hz=4 * FC, center_freq_hz=FC, line_pitch_m=0.25e-3
)
KINDS: dict[str, tuple[ScannerFormat, str]] = {
    "plane waves, int16": (PLANES, "<i2"),
    "focused beams in pairs, float32": (BEAMS, "<f4"),
    "IQ": (PIXELS, "<c8"),
    "RF lines, int16": (LINES, "<i2"),
}
N_FRAMES = 6


def frames(kind: str) -> list[np.ndarray]:
    scanner_format, dtype = KINDS[kind]
    shape = getattr(scanner_format, "shape", None) or (
        scanner_format.n_lines,  # type: ignore[union-attr]
        scanner_format.n_samples,
    )
    rng = np.random.default_rng(3)
    values = rng.normal(0.0, 900.0, (N_FRAMES, *shape, 2))
    samples = values[..., 0] + 1j * values[..., 1] if dtype == "<c8" else np.rint(values[..., 0])
    return list(samples.astype(dtype))


def messages(kind: str) -> list[Message]:
    """As a scanner sends them: its own stream, counts and clock, an acquisition left out."""
    sent = []
    for seq, samples in enumerate(frames(kind)):
        stamp = FrameStamp(seq + (seq > 2), -(10**9) + 5 * 10**7 * seq)
        frame = scanner_frame(samples, KINDS[kind][0], stamp)
        topic, header, data = encode_rf(frame, stream="vantage", seq=seq + 40, clock="scanner")
        said = msgpack.unpackb(header)
        # A whole number in place of a float is allowed, and not every depth comes back from a time.
        said |= {"sound_speed_m_s": 1540, "start_depth_m": 0.0047}
        sent.append([bytes(topic), msgpack.packb(said), bytes(data)])
    return sent


def record(folder: Path, sent: list[Message]) -> dict[str, int]:
    with scanner() as (endpoint, sender):
        settings = RecordSettings(folder=folder, rf=endpoint, strain=free_endpoint())
        with Recorder(settings) as recorder:
            sender.send(sent)
            # What arrives after the stop is counted as unread.
            assert recorder._rf.counters.wait_for("received", len(sent), WAIT_S)
    return recorder.report()


def replayed(folder: Path, n_messages: int, **options: object) -> list[Message]:
    with (
        open_recording(folder) as recording,
        Replayer(recording, free_endpoint(), speed=1e3, wait_s=WAIT_S, **options) as replayer,  # type: ignore[arg-type]
        tap(replayer.endpoint) as listener,
    ):
        report = replayer.run()
        assert (report.sent, report.unheard) == (n_messages, 0)
        return listener.take(n_messages)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_replays_as_the_same_messages_byte_for_byte(tmp_path: Path, kind: str) -> None:
    sent = messages(kind)
    counts = record(tmp_path, sent)
    assert counts["rf.received"] == counts["rf.recorded"] == N_FRAMES
    assert replayed(tmp_path, N_FRAMES, stamp="sent") == sent


@pytest.mark.parametrize("kind", ["plane waves, int16", "IQ"])
def test_keys_that_the_wire_does_not_define_are_not_recorded(tmp_path: Path, kind: str) -> None:
    sent = messages(kind)
    added = []
    for topic, header, data in sent:
        said = msgpack.unpackb(header) | {"patient": "DOE^JANE"}
        inner = "iq" if kind == "IQ" else "channel"
        said[inner] |= {"operator": "DOE^JOHN"}
        added.append([topic, msgpack.packb(said), data])
    record(tmp_path, added)
    assert replayed(tmp_path, N_FRAMES, stamp="sent") == sent


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_now_differs_in_stream_counts_and_times_alone(tmp_path: Path, kind: str) -> None:
    sent = messages(kind)
    record(tmp_path, sent)
    for was, now in zip(sent, replayed(tmp_path, N_FRAMES), strict=True):
        assert now[2] == was[2]
        before, after = msgpack.unpackb(was[1]), msgpack.unpackb(now[1])
        for own in ("stream", "seq", "acquired_ns", "clock"):
            before.pop(own)
            after.pop(own)
        # A depth becomes a time and a depth again, to the last bit or the one before.
        assert after.pop("start_depth_m") == pytest.approx(before.pop("start_depth_m"), rel=1e-15)
        assert after == before


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "RF lines, int16"])
def test_what_was_sent_opens_as_the_rf_lines_that_a_live_run_makes(
    tmp_path: Path, kind: str
) -> None:
    sent_format = KINDS[kind][0]
    record(tmp_path, messages(kind))
    with open_recording(tmp_path) as recording:
        live_format = recording.as_sent(0).format
        lines = (
            Beamformer(live_format)
            if isinstance(live_format, ChannelFormat)
            else Remodulator(live_format)  # type: ignore[arg-type]
        )
        assert recording.format == lines.format
        assert recording.frame_ids.tolist() == [0, 1, 2, 4, 5, 6]
        for i, samples in enumerate(frames(kind)):
            assert np.array_equal(recording.as_sent(i).samples, samples)
            assert np.array_equal(recording.read(i), lines(samples))
        assert any("IQ at" in note or "beamformed" in note for note in recording.notes)
    assert type(live_format) is type(sent_format)


@pytest.mark.parametrize(("kind", "named"), [("plane waves, int16", "channel data"), ("IQ", "IQ")])
def test_what_does_not_follow_from_the_recording_cannot_be_given(
    tmp_path: Path, kind: str, named: str
) -> None:
    record(tmp_path, messages(kind))
    with pytest.raises(RtelastoError, match=rf"holds {named}, .*omit --line-pitch-m"):
        open_recording(tmp_path, line_pitch_m=1e-4)
    with pytest.raises(RtelastoError, match=rf"holds {named}: RF lines are made with the cent"):
        open_recording(tmp_path, center_freq_hz="estimate")
    with open_recording(tmp_path, sound_speed_m_s=1480.0) as recording:
        assert recording.format.sound_speed_m_s == 1480.0


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_sent_cannot_be_sent_again_with_other_values(tmp_path: Path, kind: str) -> None:
    record(tmp_path, messages(kind))
    given = {"center_freq_hz": 5.8e6, "sound_speed_m_s": 1480.0}
    # Before a subscriber is waited for.
    with (
        open_recording(tmp_path, **given) as recording,
        pytest.raises(RtelastoError, match="is not read as its header says") as refused,
    ):
        Replayer(recording, free_endpoint(), stamp="sent")
    assert "sound_speed_m_s 1480.0 (header: 1540.0)" in str(refused.value)
    assert "omit --center-freq-hz, --sound-speed-m-s to send what was sent" in str(refused.value)
    assert len(str(refused.value)) < 250


def test_only_what_was_recorded_can_be_sent_again_and_once(tmp_path: Path) -> None:
    path = tmp_path / "made.h5"
    with ChannelWriter(path, PLANES) as writer:
        for i, samples in enumerate(frames("plane waves, int16")):
            writer.write(ChannelFrame(samples, PLANES, FrameStamp(i, 1 + i)))
    with (
        open_recording(path) as recording,
        pytest.raises(RtelastoError, match=r"made\.h5 does not hold messages as they were sent"),
    ):
        Replayer(recording, free_endpoint(), stamp="sent")
    record(tmp_path / "scan", messages("IQ"))
    with (
        open_recording(tmp_path / "scan") as recording,
        pytest.raises(RtelastoError, match="stamp sent replays once"),
    ):
        Replayer(recording, free_endpoint(), stamp="sent", loop=2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_that_came_is_in_one_counter(tmp_path: Path, kind: str) -> None:
    """More than the buffer holds, one of them twice and one damaged."""
    sent = [parts for _ in range(20) for parts in messages(kind)]
    for seq, parts in enumerate(sent):
        again = seq == 50
        said = {"seq": seq, "frame_id": seq - again, "stream": "one"}
        parts[1] = msgpack.packb(msgpack.unpackb(parts[1]) | said)
    sent[70] = [*sent[70][:2], b"short"]
    with scanner() as (endpoint, sender):
        settings = RecordSettings(
            folder=tmp_path, rf=endpoint, strain=free_endpoint(), buffer_frames=8
        )
        with Recorder(settings) as recorder:
            sender.send(sent)
            assert recorder._rf.counters.wait_for("received", len(sent) - 1, WAIT_S)
    counts = recorder.report()
    assert counts["rf.malformed.size"] == counts["rf.repeated"] == 1
    outcomes = ("recorded", "lost", "overflow", "unread", "repeated", "out_of_order")
    assert counts["rf.received"] == len(sent) - 1
    assert sum(counts.get(f"rf.{name}", 0) for name in outcomes) == counts["rf.received"]
    with open_recording(tmp_path) as recording:
        assert len(recording) == counts["rf.recorded"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ends", np.array([10]), "frame 5 cannot be read: its header is damaged"),
        (
            "ends",
            np.array([400, 300, 200, 100, 0, 9]),
            "frame 4 cannot be read: its header is damaged",
        ),
        ("ends", np.arange(1, 7) << 40, "frame 5 cannot be read: its header is damaged"),
        ("ends", np.zeros((2, 3), np.int64), r"wire_header/ends holds int64 \(2, 3\)"),
        ("bytes", np.zeros(2000), "wire_header/bytes holds float64"),
    ],
)
def test_a_damaged_header_is_said(tmp_path: Path, name: str, value: np.ndarray, said: str) -> None:
    record(tmp_path, messages("IQ"))
    path = tmp_path / "rf-01-00001.h5"
    with h5py.File(path, "a") as file:
        assert file["custom/frame_id"].shape == (N_FRAMES,)
        del file[f"custom/wire_header/{name}"]
        file[f"custom/wire_header/{name}"] = value

    def read_all() -> None:
        with open_recording(path) as recording:
            for i in (5, 4):
                recording.header_as_sent(i)

    with pytest.raises(RtelastoError, match=said):
        read_all()


def test_headers_that_grow_too_long_cost_their_frames_alone_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """1,000 transmits fit a header in float 32, which rtelasto accepts, but not in float 64."""
    many = replace(
        PLANES,
        n_acquisitions=1000,
        n_samples=40,
        transmits=(PlaneWave(),) * 1000,
        first_elements=(8,) * 1000,
    )
    said = {"schema": "rtelasto/1", "type": "rf", "stream": "s"}
    said |= {"acquired_ns": 0, "clock": "scanner", "kind": "channel", "dtype": "<i2"}
    said |= {"shape": list(many.shape)} | format_fields(many)
    headers = [
        msgpack.Packer(use_single_float=True).pack(said | {"seq": seq, "frame_id": seq})
        for seq in range(3)
    ]
    assert len(headers[0]) < MAX_HEADER_BYTES
    short = replace(PLANES, n_samples=40)
    next_one = ChannelFrame(np.zeros(short.shape, np.int16), short, FrameStamp(3, 1))
    with scanner() as (endpoint, sender):
        settings = RecordSettings(folder=tmp_path, rf=endpoint, strain=free_endpoint())
        with Recorder(settings) as recorder:
            sender.send(
                [
                    *([b"rf", header, bytes(2 * math.prod(many.shape))] for header in headers),
                    [bytes(part) for part in encode_rf(next_one, stream="s", seq=3)],
                ]
            )
            assert recorder._rf.counters.wait_for("received", 4, WAIT_S)
    counts = recorder.report()
    assert (counts["rf.lost"], counts["rf.recorded"]) == (3, 1)
    (line,) = caplog.messages
    assert "frames are not recorded from frame 0 on: header of" in line
    assert "with fewer transmits in a frame" in line


@pytest.mark.parametrize("kind", KINDS)
def test_segments_of_a_take_are_one_recording_in_any_order_of_reading(
    tmp_path: Path, kind: str
) -> None:
    sent = [decode_rf(parts) for parts in messages(kind)]
    assert record_slowly(tmp_path, sent) == 3
    with open_recording(tmp_path) as recording:
        assert len(recording) == N_FRAMES
        for i in (5, 0, 3, 2, 1, 4):
            assert recording.header_as_sent(i) == sent[i].defined_header()
            assert np.array_equal(recording.as_sent(i).samples, sent[i].frame.samples)


def test_a_damaged_segment_is_named_with_the_number_of_the_frame_in_the_recording(
    tmp_path: Path,
) -> None:
    record_slowly(tmp_path, [decode_rf(parts) for parts in messages("IQ")])
    with h5py.File(tmp_path / "rf-01-00003.h5", "a") as file:
        file["custom/wire_header/ends"][1] = 0
        values = file["tracks/track_0/data/beamformed_data/values"]
        place = values.id.get_chunk_info(1)
    with (tmp_path / "rf-01-00003.h5").open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(bytes(place.size))
    with open_recording(tmp_path) as recording:
        where = r"frame 5 cannot be read: rf-01-00003\.h5: "
        with pytest.raises(RtelastoError, match=where + "its header is damaged"):
            recording.header_as_sent(5)
        with pytest.raises(RtelastoError, match=where):
            recording.as_sent(5)
        recording.as_sent(4)


def record_slowly(folder: Path, sent: list[RfMessage]) -> int:
    """Record messages, two a segment; return the number of segments."""
    clock, counters = Clock(100.0), Counters()
    segments: Segments[ScannerFrame] = Segments(
        folder,
        "rf",
        lambda path, frame: frame_writer(path, frame, provenance={}, packing=GZIP),
        lambda frame: (frame.stream, frame.format),
        counters,
        clock,
    )
    for message in sent:
        segments.write(message.frame, header=message.defined_header())
        clock.now += 0.6
    segments.finish()
    return counters["rf.segments"]


def test_another_kind_of_data_begins_a_new_take(tmp_path: Path) -> None:
    sent = messages("plane waves, int16") + messages("IQ")
    for seq, parts in enumerate(sent):
        parts[1] = msgpack.packb(msgpack.unpackb(parts[1]) | {"seq": seq, "frame_id": seq})
    record(tmp_path, sent)
    with open_recording(tmp_path, dataset="rf-01") as first:
        assert isinstance(first.as_sent(0).format, ChannelFormat)
    with open_recording(tmp_path, dataset="rf-02") as second:
        assert isinstance(second.as_sent(0).format, IqFormat)


def test_zea_finds_channel_data_and_their_transmits_where_it_looks(tmp_path: Path) -> None:
    record(tmp_path, messages("plane waves, int16"))
    with h5py.File(tmp_path / "rf-01-00001.h5") as file:
        raw, scan = file["tracks/track_0/data/raw_data"], file["tracks/track_0/scan"]
        assert raw.dtype == np.int16
        first = frames("plane waves, int16")[0]
        assert np.array_equal(raw[0, :, :, :, 0], first.transpose(0, 2, 1))
        assert scan["rx_aperture_indices"][1].tolist() == list(range(8, 32))
        fires = scan["t0_delays"][:, 8:32]
        assert np.diff(fires).mean(axis=1) == pytest.approx(
            0.25e-3 * np.sin([-0.06, 0.06]) / C, rel=1e-5
        )
        assert not fires.min(axis=1).any()
        # When the wave passes the middle (2e-7 s) less half the aperture's delay is when it began.
        began_s = 2e-7 - 11.5 * 0.25e-3 * np.sin(0.06) / C
        start_s = 2 * 0.0047 / C
        assert scan["initial_times"][()] == pytest.approx(start_s - began_s, rel=1e-5)
        assert np.isinf(scan["focus_distances"][()]).all()
        assert file["probe/probe_geometry"].shape == (40, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_recorded_opens_in_zea_and_passes_its_checks(tmp_path: Path, kind: str) -> None:
    zea = pytest.importorskip("zea", reason="zea is not installed")
    record(tmp_path, messages(kind))
    with zea.File(tmp_path / "rf-01-00001.h5") as file:
        spec = file.validate_spec()
    if isinstance(KINDS[kind][0], ChannelFormat):
        assert spec.data.raw_data.shape[-1] == 1
        assert spec.scan.n_tx == KINDS[kind][0].n_acquisitions
    else:
        assert spec.data.beamformed_data.values.shape[-1] == (2 if kind == "IQ" else 1)


@pytest.mark.slow
def test_the_strain_of_recorded_channel_data_is_that_of_the_frames(tmp_path: Path) -> None:
    """The whole way by commands: recorded, processed; against RF lines made here and saved as such."""
    strains = [0.0, -0.005, -0.01]
    sent = []
    lines = Beamformer(PLANES)
    made = []
    for seq, samples in enumerate(pressed_tissue(PLANES, strains)):
        frame = ChannelFrame(samples, PLANES, FrameStamp(seq, 10**9 + 5 * 10**7 * seq))
        parts = encode_rf(frame, stream="s", seq=seq, clock="scanner")
        sent.append([bytes(part) for part in parts])
        made.append(lines(samples))
    record(tmp_path / "scan", sent)
    plain = tmp_path / "lines.npy"
    np.save(plain, np.array(made))
    physics = [
        f"--{name.replace('_', '-')}={getattr(lines.format, name)!r}"
        for name in ("sampling_freq_hz", "center_freq_hz", "line_pitch_m", "start_depth_m")
    ]
    common = ("--engine", "ncc", "--pair", "consecutive")
    for source, out, more in (
        (tmp_path / "scan", "recorded.h5", ()),
        (plain, "made.h5", (*physics, "--axes=frame,line,sample")),
    ):
        done = processes.finish("process", str(source), "-o", str(tmp_path / out), *common, *more)
        assert done.returncode == 0, done.stderr
    maps = "tracks/track_0/data"
    with h5py.File(tmp_path / "recorded.h5") as one, h5py.File(tmp_path / "made.h5") as other:
        for name in ("strain_percentage_map", "axial_displacement", "correlation"):
            recorded, expected = (file[f"{maps}/{name}/values"][()] for file in (one, other))
            assert np.array_equal(recorded, expected)
        assert recorded.shape[0] == 2
