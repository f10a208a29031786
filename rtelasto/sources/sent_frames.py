"""What a scanner sent, as `rtelasto record` keeps it: frames in the order of the wire, and headers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.iq import IqFormat
from rtelasto.sources.beamformed import beamformed_contents
from rtelasto.sources.contents import Contents
from rtelasto.sources.hdf5_storage import check_storage, numbers
from rtelasto.sources.iq_frames import iq_contents
from rtelasto.sources.limits import MAX_FRAMES
from rtelasto.wire.message import MAX_HEADER_BYTES


class Headers(Protocol):
    """Headers of messages, by frame."""

    def __getitem__(self, frame: int, /) -> bytes: ...


class SentFrames:
    """Channel data or IQ pixels of one format, read frame by frame.

    Parameters
    ----------
    array
        Anything with ``shape``, ``dtype`` and indexing by (frame,), whose frames have the axes of the wire.
    sent_format
        What the frames are.
    """

    def __init__(self, array: Any, sent_format: ChannelFormat | IqFormat) -> None:
        self._array = array
        self.n_frames = int(array.shape[0])
        self.format: Any = sent_format

    def read(self, i: int) -> NDArray[np.generic]:
        """Return frame ``i``, C order."""
        return np.ascontiguousarray(self._array[(i,)])


def lines_made_of(contents: Contents) -> Contents:
    """Return contents of RF lines, made on reading from the channel data or IQ of ``contents``.

    Raises
    ------
    RtelastoError
        If RF lines cannot be made of this format.
    """
    sent = SentFrames(contents.array, contents.sent_format)  # type: ignore[arg-type]
    if isinstance(sent.format, ChannelFormat):
        made = beamformed_contents(sent)
    else:
        made = iq_contents(sent.read, sent.n_frames, sent.format)
    return replace(
        contents,
        array=made.array,
        axes=made.axes,
        values=made.values,
        made=made.made,
        notes=contents.notes + made.notes,
        sent=sent,
    )


class StoredHeaders:
    """The headers in a file of `rtelasto.sinks.scanner_file.ScannerFile`: bytes, and where each ends."""

    def __init__(self, group: h5py.Group) -> None:
        self._bytes = group.get("bytes")
        check_storage(self._bytes)
        ends = numbers(group.get("ends"), MAX_FRAMES)
        for name, stored, kind in (("bytes", self._bytes, "u"), ("ends", ends, "i")):
            if stored.ndim != 1 or stored.dtype.kind != kind:
                raise RtelastoError(f"{group.name}/{name} holds {stored.dtype} {stored.shape}")
        self._bounds = np.append(0, ends)

    def __getitem__(self, frame: int, /) -> bytes:
        bounds = self._bounds[frame : frame + 2].tolist()
        if len(bounds) == 2:
            start, end = bounds
            if 0 <= start < end <= min(start + MAX_HEADER_BYTES, self._bytes.shape[0]):
                return bytes(self._bytes[start:end].astype(np.uint8))
        raise RtelastoError("its header is damaged")
