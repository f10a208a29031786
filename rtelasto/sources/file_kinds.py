"""Recognises the kind of a file by its first bytes."""

from __future__ import annotations

import struct

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_BOM = b"\xef\xbb\xbf"
# Any tag may come first; these are MetaIO's own tags and those that PlusLib adds.
_METAIMAGE_TAGS = (
    b"ObjectType", b"ObjectSubType", b"NDims", b"Comment", b"Name", b"ID", b"ParentID", b"BinaryData",
    b"BinaryDataByteOrderMSB", b"ElementByteOrderMSB", b"CompressedData", b"CompressedDataSize",
    b"TransformMatrix", b"Orientation", b"Rotation", b"Offset", b"Origin", b"Position", b"CenterOfRotation",
    b"AnatomicalOrientation", b"ElementSpacing", b"ElementSize", b"ElementType", b"ElementMin", b"ElementMax",
    b"ElementNumberOfChannels", b"DimSize", b"HeaderSize", b"Modality", b"Kinds", b"Color",
    b"DistanceUnits", b"AcquisitionDate", b"UltrasoundImageOrientation", b"UltrasoundImageType",
)  # fmt: skip
_CLARIUS_BYTES = {0: 4, 1: 1, 2: 2, 3: 4}  # bytes of a sample of IQ, envelope, RF, pulsed-wave IQ


def is_hdf5(head: bytes) -> bool:
    """Whether a file starts as HDF5 does: signature at 0, 512, 1024 …; MATLAB v7.3 has it at 512."""
    if any(head.startswith(_HDF5_MAGIC, offset) for offset in (0, 512, 1024, 2048)):
        return True
    return head.startswith(b"MATLAB 7.3")


def is_mat5(head: bytes) -> bool:
    """Whether a file starts as version 5 does: text of any kind, then 0x0100 and MI, swapped or not."""
    return head[124:128] in (b"\x00\x01IM", b"\x01\x00MI") or head.startswith(b"MATLAB 5.0")


def is_mat4(head: bytes) -> bool:
    """Whether a file starts as version 4 does, which only plausible numbers in its header can show."""
    for order in "<>":
        if len(head) < 20:
            return False
        kind, rows, columns, imaginary, length = struct.unpack_from(order + "5i", head)
        name = head[20 : 20 + length] if 1 < length <= 64 else b""
        digits = [kind // power % 10 for power in (1000, 100, 10, 1)]
        if (
            0 <= kind < 5000
            and digits[1] == 0
            and digits[2] <= 5
            and digits[3] <= 2
            and min(rows, columns) >= 0
            and imaginary in (0, 1)
            and name[-1:] == b"\x00"
            and name[:-1].replace(b"_", b"a").isalnum()
        ):
            return True
    return False


def is_metaimage(head: bytes) -> bool:
    """Whether the first non-empty line assigns a value to a MetaImage tag."""
    first = head.removeprefix(_BOM).lstrip().split(b"\n", 1)[0]
    name, equals, _ = first.partition(b"=")
    return bool(equals) and (name.strip() in _METAIMAGE_TAGS or name.startswith(b"Seq_Frame"))


def clarius_kind(head: bytes, size: int) -> str | None:
    """Return what a ``.raw`` file of a Clarius scanner holds: "RF", "IQ", "envelope"; None for other files.

    Its header is five int32 (kind, frames, lines, samples, bytes of a sample), and an int64 time precedes
    each frame, so the size of the file follows from them.
    """
    if len(head) < 20:
        return None
    kind, frames, lines, samples, sample_bytes = struct.unpack_from("<5i", head)
    if kind not in _CLARIUS_BYTES or min(frames, lines, samples, sample_bytes) < 1:
        return None
    sizes = {20 + frames * (8 + lines * samples * n) for n in (sample_bytes, _CLARIUS_BYTES[kind])}
    if size not in sizes:
        return None
    return {0: "IQ", 1: "envelope", 2: "RF", 3: "pulsed-wave IQ"}[kind]
