"""The wire format: hand-written bytes both ways, round trips, and every kind of fault."""

from __future__ import annotations

import dataclasses
import math

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from wire_vectors import vector

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, ChannelFrame, FocusedBeam, PlaneWave
from rtelasto.frames.iq import IqFormat, IqFrame
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import PersistenceState, StrainFrame
from rtelasto.wire.message import CAUSES, MAX_HEADER_BYTES, WireFault, pack_header, unpack_header
from rtelasto.wire.rf import decode_rf, encode_rf, wire_samples
from rtelasto.wire.strain import (
    FURTHER_ARRAYS,
    Status,
    decode_status,
    decode_strain,
    encode_status,
    encode_strain,
)

FORMAT = RfFormat(
    n_lines=2, n_samples=3, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)


def as_bytes(parts) -> list[bytes]:
    return [bytes(part) for part in parts]


def rf_parts(**changes) -> list[bytes]:
    """A sound RF message with some header keys replaced, or removed where the change is `...`."""
    topic, header, samples = vector("rf_int16.hex")
    fields = msgpack.unpackb(header) | changes
    fields = {key: value for key, value in fields.items() if value is not ...}
    return [topic, msgpack.packb(fields), samples]


def strain_parts(**changes) -> list[bytes]:
    topic, header, *arrays = vector("strain.hex")
    fields = msgpack.unpackb(header) | changes
    fields = {key: value for key, value in fields.items() if value is not ...}
    return [topic, msgpack.packb(fields), *arrays]


def strain_frame() -> StrainFrame:
    return StrainFrame(
        axial_strain=np.array([[-0.0078125, -0.0625]], np.float32),
        axial_displacement_m=np.array([[0.0, -(2.0**-20)]], np.float32),
        correlation=np.array([[1.0, 0.5]], np.float32),
        grid=Grid(1, 2, 2e-5, 2e-4, 0.0),
        frame_ids=(5, 263),
        acquired_ns=1000,
        published_ns=2000,
        age_ns=1000,
        stale=True,
        stream="scanner-1",
        engine="cnn",
        quality=0.75,
        stage_ns={"stretch": 1_000_000, "engine": 2_000_000},
        drops={"malformed.size": 3},
    )


# --- vectors


RF_VECTORS = {
    "rf_int16.hex": (
        np.array([[1, -2, 3], [-4, 32767, -32768]], np.int16),
        RfFormat(
            n_lines=2,
            n_samples=3,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=3e-4,
            start_depth_m=0.0,
            sound_speed_m_s=1540.0,
        ),
        {
            "stream": "0123456789abcdef0123456789abcdef",
            "seq": 0,
            "frame_id": 127,
            "acquired_ns": 1234567890123,
            "clock": "monotonic",
        },
    ),
    "rf_float32.hex": (
        np.array([[0.0, 1.0, -1.5, np.finfo(np.float32).max]], np.float32),
        RfFormat(
            n_lines=1,
            n_samples=4,
            sampling_freq_hz=31.25e6,
            center_freq_hz=7.8125e6,
            line_pitch_m=0.0001953,
            start_depth_m=-0.001,
            sound_speed_m_s=1480.0,
        ),
        {
            "stream": "scanner-1",
            "seq": 70000,
            "frame_id": 2**33,
            "acquired_ns": -129,
            "clock": "recording",
        },
    ),
    "rf_200_lines.hex": (
        np.arange(200, dtype=np.int16).reshape(200, 1),
        RfFormat(
            n_lines=200,
            n_samples=1,
            sampling_freq_hz=40e6,
            center_freq_hz=5e6,
            line_pitch_m=2e-4,
            start_depth_m=0.005,
            sound_speed_m_s=1540.0,
        ),
        {
            "stream": "s",
            "seq": 128,
            "frame_id": 65535,
            "acquired_ns": 65536,
            "clock": "unknown",
        },
    ),
}


@pytest.mark.parametrize("name", RF_VECTORS)
def test_rf_vector_both_ways(name):
    samples, rf_format, identity = RF_VECTORS[name]
    parts = vector(name)
    frame = RfFrame(samples, rf_format, FrameStamp(identity["frame_id"], identity["acquired_ns"]))
    encoded = encode_rf(
        frame, stream=identity["stream"], seq=identity["seq"], clock=identity["clock"]
    )
    assert as_bytes(encoded) == parts

    message = decode_rf(parts, received_ns=11)
    assert {key: getattr(message, key) for key in identity} == identity
    assert message.kind == "rf_lines"
    assert message.frame.format == rf_format
    assert message.frame.samples.dtype == samples.dtype
    np.testing.assert_array_equal(message.frame.samples, samples)
    assert message.frame.frame_id == identity["frame_id"]
    assert message.frame.acquired_ns == identity["acquired_ns"]
    assert message.frame.stream == identity["stream"]
    assert message.frame.received_ns == 11


def test_later_minor_version_is_read():
    message = decode_rf(vector("rf_newer_minor.hex"))
    assert message.frame.format == RfFormat(
        n_lines=1,
        n_samples=1,
        sampling_freq_hz=40e6,
        center_freq_hz=5e6,
        line_pitch_m=3e-4,
        start_depth_m=0.0,
        sound_speed_m_s=1540.0,
    )
    assert (message.seq, message.frame_id) == (5, 6)
    assert message.acquired_ns == 0x18D4A51D59F2E000
    assert message.frame.samples.tolist() == [[258]]
    assert message.header["steering"] == {"angles_rad": [0.25], "count": 1}


def test_iq_vector_both_ways():
    parts = vector("rf_iq.hex")
    iq_format = IqFormat(
        n_lines=1,
        n_samples=2,
        sampling_freq_hz=7.8125e6,
        demodulation_freq_hz=7.8125e6,
        center_freq_hz=7.5e6,
        line_pitch_m=0.1979e-3,
        carrier="kept",
    )
    samples = np.array([[1 - 2j, 0.5 + 0.25j]], np.complex64)
    message = decode_rf(parts)
    assert message.kind == "iq"
    assert message.frame.format == iq_format
    np.testing.assert_array_equal(message.frame.samples, samples)
    frame = IqFrame(samples, iq_format, FrameStamp(2, 3))
    assert as_bytes(encode_rf(frame, stream="s", seq=1, clock="scanner")) == parts


CHANNEL_VECTORS = {
    "rf_channel.hex": (
        (PlaneWave(-0.125, 2**-20), PlaneWave(0.125, 2**-20)),
        (0, 1),
        "quadrature",
        [[[1, 2]], [[3, 4]]],
    ),
    "rf_channel_focused.hex": ((FocusedBeam(0.25e-3, 0.0),), (1,), "uniform", [[[5, -6, 7]]]),
}


@pytest.mark.parametrize("name", CHANNEL_VECTORS)
def test_channel_vectors_both_ways(name):
    transmits, first_elements, sampling, values = CHANNEL_VECTORS[name]
    parts = vector(name)
    samples = np.array(values, np.int16)
    channels = ChannelFormat(
        n_acquisitions=samples.shape[0],
        n_channels=1,
        n_samples=samples.shape[2],
        sampling_freq_hz=15.625e6 if sampling == "quadrature" else 31.25e6,
        center_freq_hz=7.8125e6,
        element_pitch_m=0.1979e-3,
        n_elements=2,
        start_time_s=2.0 * 0.00375 / 1500.0,
        sound_speed_m_s=1500.0,
        transmits=transmits,
        first_elements=first_elements,
        sampling=sampling,
    )
    message = decode_rf(parts)
    assert message.kind == "channel"
    assert message.frame.format == channels
    np.testing.assert_array_equal(message.frame.samples, samples)
    frame = ChannelFrame(samples, channels, FrameStamp(2, 3))
    assert as_bytes(encode_rf(frame, stream="s", seq=1, clock="scanner")) == parts


def other_kind(name: str, key: str, **changes) -> list[bytes]:
    """A sound message with some entries of its map ``key`` replaced, or removed by `...`."""
    topic, header, samples = vector(name)
    fields = msgpack.unpackb(header)
    inner = fields[key] | changes
    fields[key] = {name: value for name, value in inner.items() if value is not ...}
    return [topic, msgpack.packb(fields), samples]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"transmit": "diverging"}, "format"),
        ({"transmit": ...}, "header"),
        ({"angles_rad": [0.1]}, "header"),
        ({"angles_rad": [0.1, 2.0]}, "format"),
        ({"angles_rad": [0.1, math.nan]}, "format"),
        ({"angles_rad": "both"}, "header"),
        ({"origin_times_s": [0.0, 1.0]}, "format"),
        ({"first_elements": [0, 2]}, "format"),
        ({"first_elements": [0, -1]}, "header"),
        ({"n_elements": 0}, "header"),
        ({"sampling": "iq"}, "format"),
    ],
)
def test_channel_data_with_an_impossible_map_are_faults(changes, cause):
    with pytest.raises(WireFault) as caught:
        decode_rf(other_kind("rf_channel.hex", "channel", **changes))
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"carrier": "lost"}, "format"),
        ({"carrier": 1}, "header"),
        ({"demodulation_freq_hz": ...}, "format"),
        ({"demodulation_freq_hz": 0.0}, "format"),
    ],
)
def test_iq_with_an_impossible_map_is_a_fault(changes, cause):
    with pytest.raises(WireFault) as caught:
        decode_rf(other_kind("rf_iq.hex", "iq", **changes))
    assert caught.value.cause == cause


def test_kinds_without_their_map_are_faults():
    for name, key in (("rf_iq.hex", "iq"), ("rf_channel.hex", "channel")):
        topic, header, samples = vector(name)
        fields = msgpack.unpackb(header)
        fields[key] = None
        with pytest.raises(WireFault, match=f"{key} must be a map"):
            decode_rf([topic, msgpack.packb(fields), samples])


def test_strain_vector_both_ways():
    parts = vector("strain.hex")
    frame = strain_frame().replace(bmode=np.array([[0, 255]], np.uint8), clock="monotonic")
    encoded = encode_strain(frame, stream="run-1", seq=4, clock="monotonic")
    assert as_bytes(encoded) == parts

    message = decode_strain(parts)
    assert (message.stream, message.seq, message.clock) == ("run-1", 4, "monotonic")
    np.testing.assert_array_equal(message.arrays["bmode"], frame.bmode)
    for name in dataclasses.asdict(frame):
        if name == "grid":
            assert message.frame.grid == frame.grid
        else:
            np.testing.assert_equal(getattr(message.frame, name), getattr(frame, name))
    assert math.isnan(message.frame.applied_strain)


@pytest.mark.parametrize(
    ("name", "poor_share"), [("strain_persistence", math.nan), ("strain_poor_share", 0.125)]
)
def test_strain_with_persistence_vector_both_ways(name, poor_share):
    parts = vector(f"{name}.hex")
    frame = strain_frame().replace(
        poor_share=poor_share,
        bmode=np.array([[0, 255]], np.uint8),
        relative_strain=np.array([[0.5, np.nan]], np.float32),
        relative_strain_std=np.array([[0.03125, np.nan]], np.float32),
        persistence=PersistenceState(seconds=1.5, frames=34, presses=3, age_s=0.25),
    )
    encoded = encode_strain(frame, stream="run-1", seq=4, clock="monotonic")
    assert as_bytes(encoded) == parts

    message = decode_strain(parts)
    assert message.frame.persistence == frame.persistence
    assert message.frame.poor_share == pytest.approx(poor_share, nan_ok=True)
    for name in ("relative_strain", "relative_strain_std"):
        np.testing.assert_array_equal(getattr(message.frame, name), getattr(frame, name))
        np.testing.assert_array_equal(message.arrays[name], getattr(frame, name))


@pytest.mark.parametrize("persistence", [None, PersistenceState(1.5, 34, 3, 0.25)])
def test_the_share_of_poor_pixels_is_the_last_key_of_a_later_version(persistence):
    frame = strain_frame().replace(persistence=persistence)
    without = unpack_header(as_bytes(encode_strain(frame, stream="s", seq=1))[1], "strain")
    encoded = as_bytes(encode_strain(frame.replace(poor_share=0.25), stream="s", seq=1))
    header = unpack_header(encoded[1], "strain")
    assert header == without | {"schema": "rtelasto/1.2", "poor_share": 0.25}
    assert list(header)[-1] == "poor_share"


@pytest.mark.parametrize("share", [-0.01, 1.01, "0.5"])
def test_a_share_of_poor_pixels_lies_between_0_and_1(share):
    encoded = as_bytes(encode_strain(strain_frame(), stream="s", seq=1))
    encoded[1] = pack_header(unpack_header(encoded[1], "strain") | {"poor_share": share})
    with pytest.raises(WireFault, match="poor_share"):
        decode_strain(encoded)


LATERAL = {
    "lateral_displacement_m": np.array([[2.0**-13, np.nan]], np.float32),
    "lateral_strain": np.array([[2.0**-8, -(2.0**-8)]], np.float32),
    "axial_strain_std": np.array([[2.0**-10, np.nan]], np.float32),
}


def test_strain_with_lateral_motion_vector_both_ways():
    parts = vector("strain_lateral.hex")
    frame = strain_frame().replace(bmode=np.array([[0, 255]], np.uint8), **LATERAL)
    assert as_bytes(encode_strain(frame, stream="run-1", seq=4, clock="monotonic")) == parts
    message = decode_strain(parts)
    for name, image in LATERAL.items():
        np.testing.assert_array_equal(getattr(message.frame, name), image)
        np.testing.assert_array_equal(message.arrays[name], image)


def test_an_engine_gives_only_some_of_the_further_arrays():
    name = "axial_strain_std"
    frame = strain_frame().replace(**{name: LATERAL[name]})
    decoded = decode_strain(encode_strain(frame, stream="s", seq=0)).frame
    np.testing.assert_array_equal(decoded.axial_strain_std, LATERAL[name])
    assert decoded.lateral_displacement_m is decoded.lateral_strain is None


@pytest.mark.parametrize(
    "persistence",
    [
        7,
        {},
        {"seconds": 1.0, "frames": -1, "presses": 1, "age_s": None},
        {"seconds": 1.0, "frames": 1, "presses": 1, "age_s": "old"},
    ],
)
def test_a_persistence_that_is_none_is_a_fault(persistence):
    with pytest.raises(WireFault) as caught:
        decode_strain(strain_parts(persistence=persistence))
    assert caught.value.cause == "header"


def test_strain_before_anything_was_averaged_says_so():
    state = PersistenceState(seconds=0.0, frames=0, presses=0, age_s=math.nan)
    parts = encode_strain(strain_frame().replace(persistence=state), stream="s", seq=0)
    assert msgpack.unpackb(parts[1])["persistence"]["age_s"] is None
    assert math.isnan(decode_strain(parts).frame.persistence.age_s)


def test_strain_without_an_age_is_of_unknown_age_and_not_marked():
    for without in ({"age_ns": ..., "stale": ...}, {"age_ns": None, "stale": False}):
        frame = decode_strain(strain_parts(**without)).frame
        assert (frame.age_ns, frame.stale) == (None, False)
    unknown = strain_frame().replace(age_ns=None)
    assert msgpack.unpackb(encode_strain(unknown, stream="s", seq=0)[1])["age_ns"] is None


def test_status_vector_both_ways():
    parts = vector("status.hex")
    status = Status(
        stream="run-1",
        seq=2,
        published_ns=2**32,
        rates={"frames_in": 20.0, "latency_p99_s": math.nan},
        counters={"received": 300, "gaps": 0},
        info={"device": "CPU µ"},
    )
    assert as_bytes(encode_status(status)) == parts
    np.testing.assert_equal(dataclasses.asdict(decode_status(parts)), dataclasses.asdict(status))


# --- memory


def test_frame_bytes_are_not_copied():
    samples = np.zeros((2, 3), np.int16)
    parts = encode_rf(RfFrame(samples, FORMAT), stream="s", seq=0)
    samples[1, 2] = 7
    assert decode_rf(parts).frame.samples[1, 2] == 7
    assert np.shares_memory(decode_rf(parts).frame.samples, samples)

    frame = strain_frame()
    message = decode_strain(encode_strain(frame, stream="s", seq=0))
    assert np.shares_memory(message.frame.axial_strain, frame.axial_strain)


def test_unaligned_buffer_gives_aligned_samples():
    topic, header, samples = vector("rf_float32.hex")
    room = np.zeros(len(samples) + 8, np.uint8)
    at = 1 - room.ctypes.data % 4  # an odd address
    unaligned = memoryview(room)[at : at + len(samples)]
    unaligned[:] = samples
    decoded = decode_rf([topic, header, unaligned]).frame.samples
    assert decoded.flags.aligned
    assert decoded.tobytes() == samples


@pytest.mark.parametrize(
    "given_dtype", ["i1", "u1", "<i2", ">i2", "u2", "i4", "f2", "<f4", ">f4", "f8"]
)
def test_wire_samples_keeps_values(given_dtype):
    sent = "<i2" if given_dtype in ("i1", "u1", "<i2", ">i2") else "<f4"
    samples = np.array([[0, 1, 100], [127, 3, 2]], given_dtype).T
    converted = wire_samples(samples)
    assert converted.dtype.str == sent
    assert converted.flags.c_contiguous
    np.testing.assert_array_equal(converted, samples)


def test_wire_samples_leaves_alone_what_fits():
    samples = np.ones((2, 3), "<i2")
    assert wire_samples(samples) is samples
    iq = np.ones((2, 3), "<c8")
    assert wire_samples(iq) is iq
    with pytest.raises(RtelastoError, match="numbers"):
        wire_samples(np.zeros((2, 3), bool))


def test_encode_refuses_what_would_need_a_copy():
    with pytest.raises(RtelastoError, match="float64"):
        encode_rf(RfFrame(np.zeros((2, 3)), FORMAT), stream="s", seq=0)
    with pytest.raises(ValueError, match="C-contiguous"):
        encode_rf(RfFrame(np.zeros((3, 2), np.float32).T, FORMAT), stream="s", seq=0)


def test_encode_refuses_a_message_that_nobody_could_read():
    frame = RfFrame(np.zeros((2, 3), np.int16), FORMAT)
    for changes in ({"stream": ""}, {"stream": "s" * 65}, {"seq": -1}, {"clock": ""}):
        with pytest.raises(RtelastoError, match=next(iter(changes))):
            encode_rf(frame, **({"stream": "s", "seq": 0} | changes))
    many = strain_frame().replace(drops={f"counter number {i}": i for i in range(1000)})
    with pytest.raises(RtelastoError, match=str(MAX_HEADER_BYTES)):
        encode_strain(many, stream="s", seq=0)
    with pytest.raises(ValueError, match="bmode"):
        encode_strain(
            strain_frame(), stream="s", seq=0, arrays={"bmode": (np.zeros((2, 2), "u1"), "dB")}
        )


# --- faults


def deep(levels: int):
    return [deep(levels - 1)] if levels else 0


RF_FAULTS = [
    ("parts", []),
    ("parts", [b"rf"]),
    ("parts", [*vector("rf_int16.hex"), b""]),
    ("parts", vector("rf_int16.hex")[:2]),
    ("parts", [b"rf"] + [b""] * 12),
    ("topic", vector("strain.hex")[:3]),
    ("topic", [b"rfx", *vector("rf_int16.hex")[1:]]),
    ("header", [b"rf", b"", b""]),
    ("header", [b"rf", b"\xc1", b""]),
    ("header", [b"rf", b"\x93\x01\x02\x03", b""]),
    ("header", [b"rf", vector("rf_int16.hex")[1][:-1], b""]),
    ("header", [b"rf", vector("rf_int16.hex")[1] + b"\x00", b""]),
    ("header", [b"rf", b"\x81\xa6schema\xa2\xff\xfe", b""]),
    ("header", [b"rf", b"\xdf\xff\xff\xff\xff", b""]),
    ("header", [b"rf", b"\x91" * 2000, b""]),
    ("header", [b"rf", b"\x81\x01\x02", b""]),
    ("header", [b"rf", b"\x81\xc4\x01a\x02", b""]),
    ("header", [b"rf", b"\x81\xa1a\xd6\xff\x00\x00\x00\x01", b""]),
    ("header", rf_parts(padding="x" * MAX_HEADER_BYTES)),
    ("header", rf_parts(nested=deep(4))),
    ("header", rf_parts(many=[0] * 1025)),
    ("header", rf_parts(many={str(i): 0 for i in range(257)})),
    ("header", rf_parts(stream=...)),
    ("header", rf_parts(stream="")),
    ("header", rf_parts(stream="x" * 65)),
    ("header", rf_parts(stream=7)),
    ("header", rf_parts(clock=None)),
    ("header", rf_parts(seq=...)),
    ("header", rf_parts(seq=-1)),
    ("header", rf_parts(seq=True)),
    ("header", rf_parts(seq=1.0)),
    ("header", rf_parts(seq=2**63)),
    ("header", rf_parts(frame_id=-1)),
    ("header", rf_parts(acquired_ns="now")),
    ("schema", rf_parts(schema=...)),
    ("schema", rf_parts(schema="rtelasto/2")),
    ("schema", rf_parts(schema="rtelasto/10")),
    ("schema", rf_parts(schema="rtelasto/1.")),
    ("schema", rf_parts(schema="rtelasto/1\n")),
    ("schema", rf_parts(schema=1)),
    ("type", rf_parts(type="strain")),
    ("type", rf_parts(type=...)),
    ("kind", rf_parts(kind="b_mode")),
    ("kind", rf_parts(kind=[])),
    ("kind", rf_parts(kind=...)),
    ("dtype", rf_parts(dtype="<f8")),
    ("dtype", rf_parts(dtype=">i2")),
    ("dtype", rf_parts(dtype="O")),
    ("dtype", rf_parts(dtype=["<i2"])),
    ("dtype", rf_parts(dtype="<c8")),
    ("dtype", rf_parts(kind="iq")),
    ("shape", rf_parts(shape=6)),
    ("shape", rf_parts(shape=[6])),
    ("shape", rf_parts(shape=[1, 2, 3])),
    ("shape", rf_parts(shape=[2, 3], kind="channel")),
    ("shape", rf_parts(shape=[0, 3])),
    ("shape", rf_parts(shape=[-2, -3])),
    ("shape", rf_parts(shape=[2.0, 3.0])),
    ("shape", rf_parts(shape=[True, 6])),
    ("shape", rf_parts(shape=[4097, 3])),
    ("shape", rf_parts(shape=[2, 65537])),
    ("size", rf_parts(shape=[3, 3])),
    ("size", rf_parts(shape=[4096, 65536])),
    ("size", rf_parts(dtype="<f4")),
    ("size", [*rf_parts()[:2], b""]),
    ("size", [*rf_parts()[:2], rf_parts()[2][:-1]]),
    ("format", rf_parts(sampling_freq_hz=math.nan)),
    ("format", rf_parts(sampling_freq_hz=math.inf)),
    ("format", rf_parts(sampling_freq_hz="40 MHz")),
    ("format", rf_parts(sampling_freq_hz=True)),
    ("format", rf_parts(sampling_freq_hz=6e6)),
    ("format", rf_parts(line_pitch_m=...)),
    ("format", rf_parts(line_pitch_m=-1e-4)),
    ("format", rf_parts(sound_speed_m_s=0)),
    ("format", rf_parts(start_depth_m=1e300)),
    ("format", rf_parts(center_freq_hz=None)),
]


@pytest.mark.parametrize(("cause", "parts"), RF_FAULTS)
def test_rf_fault(cause, parts):
    with pytest.raises(WireFault) as caught:
        decode_rf(parts)
    assert caught.value.cause == cause
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


STRAIN_FAULTS = [
    ("parts", strain_parts()[:-1]),
    ("parts", [*strain_parts(), b""]),
    ("topic", rf_parts()),
    ("type", strain_parts(type="rf")),
    ("schema", strain_parts(schema="rtelasto/2")),
    ("header", strain_parts(frame_ids=[1])),
    ("header", strain_parts(frame_ids=[1, -1])),
    ("header", strain_parts(grid=[1])),
    ("header", strain_parts(quality=math.nan)),
    ("header", strain_parts(quality=...)),
    ("header", strain_parts(drops={"gaps": 1.5})),
    ("header", strain_parts(timings_ns=[])),
    ("header", strain_parts(engine=None)),
    ("header", strain_parts(age_ns=-1)),
    ("header", strain_parts(age_ns=1.5)),
    ("header", strain_parts(stale=None)),
    ("header", strain_parts(stale=1)),
    ("format", strain_parts(grid={"axial_step_m": 0, "line_pitch_m": 1, "start_depth_m": 0})),
    ("format", strain_parts(grid={"axial_step_m": 1, "line_pitch_m": 1})),
    ("arrays", strain_parts(arrays=7)),
    ("arrays", strain_parts(arrays=[7] * 4)),
]


@pytest.mark.parametrize(("cause", "parts"), STRAIN_FAULTS)
def test_strain_fault(cause, parts):
    with pytest.raises(WireFault) as caught:
        decode_strain(parts)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("cause", "index", "changes"),
    [
        ("arrays", 0, {"name": "shear_strain"}),
        ("arrays", 1, {"name": "axial_strain"}),
        ("header", 0, {"name": ""}),
        ("header", 0, {"unit": None}),
        ("dtype", 0, {"dtype": "<f8"}),
        ("shape", 3, {"shape": [2, 1]}),
        ("shape", 0, {"shape": [2]}),
        ("size", 0, {"shape": [1, 1]}),
        ("arrays", 0, {"dtype": "<i2", "shape": [1, 4]}),
    ],
)
def test_strain_array_fault(cause, index, changes):
    arrays = msgpack.unpackb(vector("strain.hex")[1])["arrays"]
    arrays[index] |= changes
    if changes.get("dtype") == "<i2":  # an int16 array in float32's place, of the right size
        for other in (1, 2, 3):
            arrays[other] |= {"shape": [1, 4]}
    parts = strain_parts(arrays=arrays)
    if changes.get("dtype") == "<i2":
        parts[3:] = [bytes(16), bytes(16), bytes(4)]
    with pytest.raises(WireFault) as caught:
        decode_strain(parts)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    "changes",
    [
        {"rates": None},
        {"rates": {"fps": "20"}},
        {"counters": {"gaps": -1}},
        {"info": {"device": 1}},
        {"info": []},
    ],
)
def test_status_fault(changes):
    topic, header = vector("status.hex")
    with pytest.raises(WireFault) as caught:
        decode_status([topic, msgpack.packb(msgpack.unpackb(header) | changes)])
    assert caught.value.cause == "header"


def test_every_cause_is_met():
    met = {cause for cause, _ in RF_FAULTS} | {cause for cause, _ in STRAIN_FAULTS}
    assert met == set(CAUSES)


# --- properties


finite = {"allow_nan": False, "allow_infinity": False}
formats = st.builds(
    RfFormat,
    n_lines=st.integers(1, 300),
    n_samples=st.integers(1, 40),
    sampling_freq_hz=st.floats(2e8, 1e9),
    center_freq_hz=st.floats(5e6, 1e8),  # at most 200 samples per wavelength at 1 GHz
    line_pitch_m=st.floats(1e-6, 1e-1),
    start_depth_m=st.floats(-0.5, 0.5),
    sound_speed_m_s=st.floats(300.0, 5000.0),
)


@settings(max_examples=60)
@given(
    st.data(),
    formats,
    st.sampled_from(["<i2", "<f4"]),
    st.text(min_size=1, max_size=64),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
)
def test_rf_round_trip(data, rf_format, dtype, stream, seq, frame_id, acquired_ns):
    shape = (rf_format.n_lines, rf_format.n_samples)
    samples = data.draw(hnp.arrays(dtype, shape, fill=st.just(1)))
    frame = RfFrame(samples, rf_format, FrameStamp(frame_id, acquired_ns))
    message = decode_rf(as_bytes(encode_rf(frame, stream=stream, seq=seq, clock="unix")))
    assert message.frame.format == rf_format
    assert (message.stream, message.seq, message.frame_id) == (stream, seq, frame_id)
    assert (message.acquired_ns, message.clock) == (acquired_ns, "unix")
    assert message.frame.samples.tobytes() == samples.tobytes()


names = st.text(min_size=1, max_size=20)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.dictionaries(names, st.integers(0, 2**63 - 1), max_size=20),
    st.floats(**finite) | st.just(math.nan),
    st.text(max_size=256),
    st.none() | st.integers(0, 2**63 - 1),
    st.booleans(),
    st.sets(st.sampled_from([name for name, _ in FURTHER_ARRAYS])),
)
def test_strain_round_trip(shape, counters, quality, engine, age_ns, stale, further):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((3, *shape)).astype(np.float32)
    frame = StrainFrame(
        *images,
        **{name: rng.standard_normal(shape).astype(np.float32) for name in further},
        grid=Grid(*shape, 1e-5, 2e-4, -1e-3),
        quality=quality,
        applied_strain=quality,
        engine=engine,
        drops=counters,
        stage_ns=counters,
        age_ns=age_ns,
        stale=stale,
    )
    decoded = decode_strain(as_bytes(encode_strain(frame, stream="s", seq=1))).frame
    for name in dataclasses.asdict(frame):
        if name != "grid":
            np.testing.assert_equal(getattr(decoded, name), getattr(frame, name))
    assert decoded.grid == frame.grid


DECODERS = {
    "rf_int16.hex": decode_rf,
    "rf_newer_minor.hex": decode_rf,
    "rf_iq.hex": decode_rf,
    "strain.hex": decode_strain,
    "strain_lateral.hex": decode_strain,
    "status.hex": decode_status,
}


def outcome(name: str, parts) -> str:
    """The cause of the fault, or "read"; every other exception ends the test."""
    try:
        DECODERS[name](parts)
    except WireFault as fault:
        return fault.cause
    return "read"


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(DECODERS)))
def test_a_damaged_message_is_read_or_a_fault_and_nothing_else(data, name):
    parts = [bytearray(part) for part in vector(name)]
    for _ in range(data.draw(st.integers(1, 4))):
        part = data.draw(st.sampled_from([part for part in parts if part]))
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(name, parts) in ("read", *CAUSES)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(DECODERS)))
def test_any_value_under_any_key_is_read_or_a_fault_and_nothing_else(data, name):
    topic, header, *arrays = vector(name)
    fields = msgpack.unpackb(header)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(anything)
    assert outcome(name, [topic, msgpack.packb(fields), *arrays]) in ("read", *CAUSES)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=300), max_size=14), st.sampled_from(sorted(DECODERS)))
def test_rubbish_is_a_fault(parts, name):
    with pytest.raises(WireFault):
        DECODERS[name](parts)
    topic = vector(name)[0]
    with pytest.raises(WireFault):
        DECODERS[name]([topic, *parts])
