"""The common parts of all messages of the wire format: parts, the header and its limits, faults.

A message is ``topic | header | one raw buffer per array``; the header is a msgpack map. docs/wire.md
is the contract; tests/vectors holds messages byte for byte. This module does not use sockets: a part
is any bytes-like object, ``zmq.Frame`` included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgpack
import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.stamp import MAX_COUNT

SCHEMA = "rtelasto/1"
# The schema of messages with keys that the first version did not have.
SCHEMA_WITH_PERSISTENCE = "rtelasto/1.1"
SCHEMA_WITH_POOR_SHARE = "rtelasto/1.2"
TOPIC_RF = b"rf"
TOPIC_STRAIN = b"strain"
TOPIC_STATUS = b"status"

MAX_HEADER_BYTES = 16384
MAX_NESTING = 4
MAX_PARTS = 12
MAX_NAME_CHARS = 64

Cause = Literal[
    "parts",  # a wrong number of parts
    "topic",  # the first part is not the expected topic
    "header",  # not a msgpack map within limits, or a key is missing, of wrong type or out of range
    "schema",  # another major version, or none
    "type",  # not the type that belongs to the topic
    "kind",  # a kind of RF data that version 1 does not know
    "dtype",  # a dtype that the kind or array does not allow
    "shape",  # not a list of the required number of positive integers, or beyond the limits
    "size",  # the buffer's size does not match dtype and shape
    "format",  # sampling frequency, pitch … not finite or invalid
    "arrays",  # a strain message without one of the required arrays
]
CAUSES: tuple[str, ...] = get_args(Cause)

Part = bytes | memoryview
Header = dict[str, Any]

# A later minor version may only add keys, so that this reader can read it.
_KNOWN_SCHEMA = re.compile(r"rtelasto/1(\.[0-9]{1,4})?")


class WireFault(RtelastoError):
    """A message that breaks the wire format. Receivers count it by ``cause`` and drop it.

    Parameters
    ----------
    cause
        One of `CAUSES`.
    detail
        The exact error in one line: a few words and at most one shortened value.
    """

    def __init__(self, cause: Cause, detail: str) -> None:
        # A name from the message must neither break a log line nor control the terminal that shows it.
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in detail)
        super().__init__(f"bad message ({cause}): {shown}")
        self.cause: Cause = cause


def short(value: object) -> str:
    """``repr`` of a value from the wire, shortened so that a log line stays one line."""
    if isinstance(value, (list, dict, tuple, bytes)) and len(value) > 16:
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        value = value[:48]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def pack_header(
    header: Mapping[str, Any], *, shorter: str = "with fewer counters or shorter names"
) -> bytes:
    """Header as msgpack, keys in the order given; ``shorter`` is how its sender makes it shorter.

    msgpack's smallest form for integers, strings and containers, float64 for every Python float.

    Raises
    ------
    RtelastoError
        If it is larger than a receiver accepts.
    """
    packed: bytes = msgpack.packb(dict(header), use_bin_type=True)
    if len(packed) > MAX_HEADER_BYTES:
        raise RtelastoError(
            f"header of {len(packed)} bytes exceeds the wire format's {MAX_HEADER_BYTES}: "
            f"send it {shorter}"
        )
    return packed


def unpack_header(part: Any, message_type: str) -> Header:
    """The header in ``part``, checked for limits, schema and ``type``; unknown keys are kept.

    Raises
    ------
    WireFault
        With cause header, schema or type.
    """
    buffer = memoryview(part)
    if buffer.nbytes > MAX_HEADER_BYTES:
        raise WireFault("header", f"{buffer.nbytes} bytes, at most {MAX_HEADER_BYTES} are allowed")
    try:
        header = msgpack.unpackb(
            buffer,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_HEADER_BYTES,
            max_bin_len=MAX_HEADER_BYTES,
            max_array_len=1024,
            max_map_len=256,
            max_ext_len=0,
        )
    except ValueError as error:  # as all errors of msgpack's unpacker are, bad UTF-8 included
        detail = str(error)[:60] or type(error).__name__
        raise WireFault("header", f"not msgpack: {detail}") from error
    if not isinstance(header, dict):
        raise WireFault("header", f"must be a map, got {type(header).__name__}")
    _check_nesting(header, MAX_NESTING)
    schema = header.get("schema")
    if not (isinstance(schema, str) and _KNOWN_SCHEMA.fullmatch(schema)):
        raise WireFault("schema", f"this version reads {SCHEMA}, got {short(schema)}")
    if header.get("type") != message_type:
        raise WireFault("type", f"must be {message_type!r}, got {short(header.get('type'))}")
    return header


def _check_nesting(value: dict[Any, Any] | list[Any], levels: int) -> None:
    """Raise WireFault (header) for a key that is no string, or more than ``levels`` levels."""
    if levels == 0:
        raise WireFault("header", f"nested more than {MAX_NESTING} deep")
    children: Any = value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise WireFault("header", f"keys must be strings, got {short(key)}")
        children = value.values()
    for child in children:
        # Tested here and not in a call per number, so that a malformed header costs little.
        if isinstance(child, (dict, list)):
            _check_nesting(child, levels - 1)


def check_topic(parts: Sequence[Any], topic: bytes) -> None:
    """Raise WireFault (parts, topic) unless ``parts`` starts with ``topic`` and holds a header."""
    if not 2 <= len(parts) <= MAX_PARTS:
        raise WireFault("parts", f"{len(parts)} parts, a message has 2 to {MAX_PARTS}")
    head = memoryview(parts[0])
    if head.nbytes != len(topic) or bytes(head) != topic:
        raise WireFault("topic", f"must be {topic!r}, got {short(bytes(head[:17]))}")


def text(value: object, key: str, longest: int = MAX_NAME_CHARS) -> str:
    """A string of 1 to ``longest`` characters, or WireFault (header)."""
    if not (isinstance(value, str) and 0 < len(value) <= longest):
        raise WireFault("header", f"{key} must be 1 to {longest} characters, got {short(value)}")
    return value


def whole(value: object, key: str, lowest: int = 0) -> int:
    """A whole number from ``lowest`` to 2**63 - 1, or WireFault (header)."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= MAX_COUNT:
        raise WireFault("header", f"{key} must be a whole number ≥ {lowest}, got {short(value)}")
    return value


def real(header: Header, key: str, cause: Cause = "header") -> float:
    """A finite number, or WireFault of ``cause``.

    Integers are accepted: not every encoder distinguishes 1 from 1.0.
    """
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise WireFault(cause, f"{key} must be a finite number, got {short(value)}")
    return float(value)


def real_or_nan(header: Header, key: str) -> float:
    """A finite number, or NaN where the header holds nil; WireFault (header) otherwise."""
    return math.nan if key in header and header[key] is None else real(header, key)


def nil_if_nan(value: float) -> float | None:
    """Encode a number that may be missing for a header: NaN and infinities as nil."""
    return float(value) if math.isfinite(value) else None


def counts(header: Header, key: str) -> dict[str, int]:
    """A map of names to whole numbers ≥ 0, or WireFault (header)."""
    value = header.get(key)
    if not isinstance(value, dict):
        raise WireFault("header", f"{key} must be a map, got {short(value)}")
    return {name: whole(number, f"{key}.{name[:40]}") for name, number in value.items()}


def buffer_of(array: NDArray[np.generic]) -> memoryview:
    """The bytes of a C-contiguous array as a part, without a copy."""
    if not array.flags.c_contiguous:
        raise ValueError(f"array of shape {array.shape} is not C-contiguous")
    return array.reshape(-1).view(np.uint8).data


def array_of(part: Any, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """The array in ``part``, as a view, or WireFault (size).

    It is copied only where the transport put it at an address that is not a multiple of the item size
    (libzmq does so with messages below 8 KiB), because compiled kernels need aligned arrays.
    """
    buffer = memoryview(part)
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if buffer.nbytes != expected:
        raise WireFault(
            "size", f"{dtype} {short(list(shape))} is {expected} bytes, got {buffer.nbytes}"
        )
    array = np.frombuffer(buffer, dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()


def shape_of(value: object, limits: tuple[int, ...]) -> tuple[int, ...]:
    """A list of integers from 1 to each of the ``limits``, or WireFault (shape)."""
    if not isinstance(value, list) or len(value) != len(limits):
        raise WireFault("shape", f"must list {len(limits)} whole numbers, got {short(value)}")
    for size, largest in zip(value, limits, strict=True):
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= largest:
            raise WireFault("shape", f"must lie in 1…{largest}, got {short(value)}")
    return tuple(value)
