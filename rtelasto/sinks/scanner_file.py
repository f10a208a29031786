"""What all files of a scanner's frames have in common: the stamp of each, and the message that brought it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import ScannerFormat, ScannerFrame
from rtelasto.sinks.zea_file import Packing, Provenance, ZeaFile


class ScannerFile(ZeaFile):
    """Base of the writers of RF lines, IQ pixels and channel data: frames of one format and type.

    Headers of messages are kept as msgpack, so that `replay` can send the same messages again: one after
    another in ``custom/wire_header/bytes``, with the end of each in ``custom/wire_header/ends``.
    """

    def __init__(self, path: str | Path, scanner_format: ScannerFormat, packing: Packing) -> None:
        super().__init__(path, packing)
        self._format = scanner_format
        self._dtype: np.dtype[np.generic] | None = None
        self._has_headers = False

    def _begin_stamps(self, provenance: Provenance | None) -> None:
        self._put_provenance(provenance or {})
        self._series("acquired_ns", (), np.int64, "ns", "Acquisition time, scanner clock")
        self._series("frame_id", (), np.int64, "#", "Acquisition count of the scanner")

    def _begin(self, frame: ScannerFrame) -> None:
        """Create what depends on the type of the samples; called with the first frame."""

    def _check_frame(self, frame: ScannerFrame, header: bytes | None) -> None:
        """Raise RtelastoError unless the frame is of one kind with the first; the first begins the file."""
        if frame.format != self._format:
            raise RtelastoError(
                f"{self.path}: frame {frame.frame_id} differs in format from the first"
            )
        if self._dtype is None:
            self._dtype = frame.samples.dtype
            self._has_headers = header is not None
            if header is not None:
                self._series(
                    "wire_header/bytes", (), np.uint8, "–", "Headers of the messages, msgpack"
                )
                self._series("wire_header/ends", (), np.int64, "bytes", "Where each header ends")
            self._begin(frame)
        if frame.samples.dtype != self._dtype or (header is not None) != self._has_headers:
            raise RtelastoError(
                f"{self.path}: frame {frame.frame_id} differs from the first in its type "
                f"({frame.samples.dtype}, first {self._dtype}) or in having a header"
            )

    def _append_stamp(
        self, frame: ScannerFrame, header: bytes | None, acquired_ns: int | None = None
    ) -> None:
        """Append the stamp of the frame whose samples were written, which is then in the file."""
        self._append("acquired_ns", frame.acquired_ns if acquired_ns is None else acquired_ns)
        self._append("frame_id", frame.frame_id)
        if header is not None:
            stored = self._custom["wire_header/bytes"]
            start = stored.shape[0]
            stored.resize(start + len(header), axis=0)
            stored[start:] = np.frombuffer(header, np.uint8)
            stored.flush()
            self._append("wire_header/ends", start + len(header))
        self.n_frames += 1
