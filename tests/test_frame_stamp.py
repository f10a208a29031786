"""Every kind of frame carries one stamp from the wire to the pipeline."""

import dataclasses

import numpy as np
import pytest

from rtelasto.frames.channel import ChannelFormat, ChannelFrame
from rtelasto.frames.iq import IqFormat, IqFrame, ScannerFrame, scanner_frame
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import UNSTAMPED, FrameStamp
from rtelasto.pipeline.to_rf_lines import RfLines
from rtelasto.wire.rf import decode_rf, encode_rf

STAMP = FrameStamp(7, -8, clock="unix", stream="run", seq=9, received_ns=10, decoded_ns=11)
_PHYSICS = {"sampling_freq_hz": 40e6, "center_freq_hz": 5e6}
FORMATS = (
    RfFormat(n_lines=4, n_samples=64, line_pitch_m=3e-4, **_PHYSICS),
    IqFormat(n_lines=4, n_samples=64, line_pitch_m=3e-4, demodulation_freq_hz=5e6, **_PHYSICS),
    ChannelFormat(n_acquisitions=1, n_channels=4, n_samples=1024, element_pitch_m=3e-4, **_PHYSICS),
)
KINDS = (RfFrame, IqFrame, ChannelFrame)


def frame_of(scanner_format: RfFormat | IqFormat | ChannelFormat) -> ScannerFrame:
    shape = (
        scanner_format.shape
        if isinstance(scanner_format, ChannelFormat)
        else (scanner_format.n_lines, scanner_format.n_samples)
    )
    noise = np.random.default_rng(1).standard_normal(shape)
    dtype = np.complex64 if isinstance(scanner_format, IqFormat) else np.float32
    return scanner_frame(noise.astype(dtype), scanner_format, STAMP)


@pytest.mark.parametrize(("kind", "scanner_format"), [*zip(KINDS, FORMATS, strict=True)])
def test_each_kind_of_frame_carries_one_stamp_and_reads_like_it(kind, scanner_format):
    frame = frame_of(scanner_format)
    assert type(frame) is kind
    assert frame.stamp is STAMP
    assert [field.name for field in dataclasses.fields(frame)] == ["samples", "format", "stamp"]
    for field in dataclasses.fields(FrameStamp):
        assert getattr(frame, field.name) == getattr(STAMP, field.name)
    with pytest.raises(AttributeError):
        frame.stamp = UNSTAMPED
    assert kind(frame.samples, scanner_format).stamp is UNSTAMPED


@pytest.mark.parametrize("scanner_format", FORMATS)
def test_a_message_read_from_the_wire_stamps_its_frame_in_full(scanner_format):
    parts = encode_rf(frame_of(scanner_format), stream="sender", seq=12, clock="scanner")
    message = decode_rf([bytes(part) for part in parts], received_ns=5)
    expected = FrameStamp(
        7,
        -8,
        clock="scanner",
        stream="sender",
        seq=12,
        received_ns=5,
        decoded_ns=message.frame.decoded_ns,
    )
    assert message.frame.stamp == expected
    assert message.stamp is message.frame.stamp
    assert message.frame.decoded_ns >= 5
    assert (message.stream, message.seq, message.frame_id) == ("sender", 12, 7)


@pytest.mark.parametrize("scanner_format", FORMATS)
def test_becoming_rf_lines_leaves_the_stamp_as_it_was(scanner_format):
    lines = RfLines()(frame_of(scanner_format))
    assert type(lines) is RfFrame
    assert lines.stamp is STAMP
