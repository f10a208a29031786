"""RF messages: ``rf | header | samples``. The header carries the whole format, so that a receiver can
read any single message without the ones before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import ScannerFrame, scanner_frame
from rtelasto.frames.stamp import FrameStamp, Stamped
from rtelasto.wire.formats import KINDS, format_fields, kind_of, read_format
from rtelasto.wire.message import (
    SCHEMA,
    TOPIC_RF,
    Header,
    Part,
    WireFault,
    array_of,
    buffer_of,
    check_topic,
    pack_header,
    shape_of,
    short,
    text,
    unpack_header,
    whole,
)

# Nothing else in a header of RF data grows.
_SHORTER = "with fewer transmits in a frame"


@dataclass(frozen=True, slots=True, eq=False)
class RfMessage(Stamped):
    """One message of topic ``rf``; the fields of its frame's stamp are attributes of it, too.

    Attributes
    ----------
    kind
        ``rf_lines``, ``iq`` or ``channel``.
    frame
        The frame: an `RfFrame`, `IqFrame` or `ChannelFrame`. Its samples share the message's memory.
    header
        All keys as received, those unknown to this version included.
    """

    kind: str
    frame: ScannerFrame
    header: Header

    @property
    def stamp(self) -> FrameStamp:  # type: ignore[override]
        return self.frame.stamp

    def defined_header(self) -> bytes:
        """The header without keys that the format does not define, which may name a patient; its order and
        values are those received, so that a message of `encode_rf` keeps its bytes.

        Raises
        ------
        RtelastoError
            If it is longer than the format allows, because it came with numbers of half the length.
        """
        ours = _header(self.frame, self.stream, self.seq, self.clock)
        kept = {key: value for key, value in self.header.items() if key in ours}
        for key, value in kept.items():
            if isinstance(value, dict):
                kept[key] = {inner: value[inner] for inner in value if inner in ours[key]}
        return pack_header(kept, shorter=_SHORTER)


def wire_samples(samples: NDArray[np.generic]) -> NDArray[np.generic]:
    """Convert ``samples`` for the wire: C order, little-endian int16, float32 or complex64.

    Integers of 8 and 16 bits signed and of 8 bits unsigned become int16, every other real dtype
    float32, complex ones complex64. Samples that need no conversion are returned without a copy.

    Raises
    ------
    RtelastoError
        If ``samples`` are not numbers.
    """
    if samples.dtype.kind == "c":
        return np.ascontiguousarray(samples, dtype="<c8")
    if samples.dtype.kind not in "iuf":
        raise RtelastoError(f"samples must be numbers, got dtype {samples.dtype}")
    whole_in_16_bits = samples.dtype.kind in "iu" and np.can_cast(samples.dtype, np.int16)
    return np.ascontiguousarray(samples, dtype="<i2" if whole_in_16_bits else "<f4")


def encode_rf(frame: ScannerFrame, *, stream: str, seq: int, clock: str = "unknown") -> list[Part]:
    """The parts of an RF message; the frame's samples are referred to, not copied.

    Parameters
    ----------
    frame
        RF lines, IQ pixels or channel data; C-contiguous ``<i2`` or ``<f4``, IQ ``<c8``:
        `wire_samples` makes them so.
    stream
        Id of this run of the sender; it replaces that of the frame's stamp, as ``seq`` and ``clock`` do.
    seq
        Number of messages of this stream before this one.
    clock
        The clock of ``frame.acquired_ns``: "monotonic", "unix", "recording", "scanner" or "unknown".

    Raises
    ------
    RtelastoError
        If the samples have another dtype, or a name or count is invalid.
    ValueError
        If the samples are not C-contiguous.
    """
    kind = kind_of(frame.format)
    dtype = frame.samples.dtype.newbyteorder("<").str
    dtypes = KINDS[kind][0]
    if dtype not in dtypes or frame.samples.dtype != np.dtype(dtype):
        raise RtelastoError(
            f"samples of kind {kind} must be {' or '.join(dtypes)} to go over the wire, got dtype "
            f"{frame.samples.dtype}: convert them with wire_samples"
        )
    header = _header(frame, stream, seq, clock)
    return [TOPIC_RF, pack_header(header, shorter=_SHORTER), buffer_of(frame.samples)]


def _header(frame: ScannerFrame, stream: str, seq: int, clock: str) -> Header:
    return {
        "schema": SCHEMA,
        "type": "rf",
        "stream": text(stream, "stream"),
        "seq": whole(int(seq), "seq"),
        "frame_id": whole(int(frame.frame_id), "frame_id"),
        "acquired_ns": int(frame.acquired_ns),
        "clock": text(clock, "clock"),
        "kind": kind_of(frame.format),
        "dtype": frame.samples.dtype.newbyteorder("<").str,
        "shape": list(frame.samples.shape),
    } | format_fields(frame.format)


def decode_rf(parts: Sequence[Any], *, received_ns: int = 0) -> RfMessage:
    """Read an RF message.

    Parameters
    ----------
    parts
        Topic, header and samples, each bytes-like.
    received_ns
        This host's monotonic clock when the message came, for the frame.

    Raises
    ------
    WireFault
        If the message breaks the format in any way.
    """
    check_topic(parts, TOPIC_RF)
    header = unpack_header(parts[1], "rf")
    if len(parts) != 3:
        raise WireFault("parts", f"{len(parts)} parts, an RF message has 3")
    kind, dtype = header.get("kind"), header.get("dtype")
    if not isinstance(kind, str) or kind not in KINDS:
        raise WireFault("kind", f"must be one of {', '.join(KINDS)}, got {short(kind)}")
    dtypes, limits = KINDS[kind]
    if dtype not in dtypes:
        raise WireFault("dtype", f"{kind} must be {' or '.join(dtypes)}, got {short(dtype)}")
    shape = shape_of(header.get("shape"), limits)
    stream, clock = text(header.get("stream"), "stream"), text(header.get("clock"), "clock")
    seq, frame_id = whole(header.get("seq"), "seq"), whole(header.get("frame_id"), "frame_id")
    acquired_ns = whole(header.get("acquired_ns"), "acquired_ns", lowest=-(2**63))
    samples = array_of(parts[2], dtype, shape)
    scanner_format = read_format(kind, shape, header)
    stamp = FrameStamp(
        frame_id,
        acquired_ns,
        clock=clock,
        stream=stream,
        seq=seq,
        received_ns=received_ns,
        decoded_ns=monotonic_ns() if received_ns else 0,
    )
    return RfMessage(kind, scanner_frame(samples, scanner_format, stamp), header)
