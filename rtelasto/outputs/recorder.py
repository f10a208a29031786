"""Records what a scanner sends, and strain, to disk: on its own thread, even if the disk is slow or full."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import ScannerFormat, ScannerFrame
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.strain import StrainFrame
from rtelasto.sinks.output_file import flush_to_disk
from rtelasto.sinks.scanner_writers import frame_writer
from rtelasto.sinks.segment_writer import Segments
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sinks.zea_file import blosc_packing
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.receivers import RfMessageReceiver, StrainReceiver
from rtelasto.wire.rf import RfMessage

# Time limit for writing what is still in the buffers when stopping.
_DRAIN_S = 0.5
_LOOK_S = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordSettings:
    """What to record, and where.

    Parameters
    ----------
    folder
        Folder for the segments; created if it does not exist, and must not hold a recording yet.
    rf
        Endpoint where the sender of RF lines, IQ or channel data is bound.
    strain
        Endpoint where `rtelasto run` publishes strain.
    keys
        Folder of keys (rtelasto keys), for both streams; without it both must be on this machine.
    buffer_frames
        Frames of each stream kept in memory while the disk is behind; when there are more, the oldest are
        lost and counted as overflow.
    fsync
        Flush every segment to the disk when it is closed, so that a power cut costs only the last.
    """

    folder: Path
    _: KW_ONLY
    rf: str = "tcp://127.0.0.1:5555"
    strain: str = "tcp://127.0.0.1:5556"
    keys: Path | None = None
    buffer_frames: int = 256
    fsync: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.buffer_frames <= 100_000:
            raise RtelastoError(f"buffer_frames must lie in 2…100000, got {self.buffer_frames}")


class Recorder(Closing):
    """Records from its creation until it is closed.

    Attributes
    ----------
    counters
        Those of `Segments` for ``rf`` and ``strain``.

    Raises
    ------
    MissingExtraError
        If hdf5plugin is not installed.
    RtelastoError
        If the folder cannot be written or holds a recording.
    """

    def __init__(self, settings: RecordSettings) -> None:
        packing = blosc_packing()
        _prepare(settings.folder, fsync=settings.fsync)
        self.ready = f"recording into {settings.folder}"
        self.counters = Counters()
        # The strain stream does not carry the format of the RF frames; the RF stream does.
        self._formats: dict[str, RfFormat] = {}
        # Stream and format of the frames that were last refused for the length of their header.
        self._too_long: tuple[str, ScannerFormat] | None = None
        self._rf_segments: Segments[ScannerFrame] = Segments(
            settings.folder,
            "rf",
            lambda path, frame: frame_writer(
                path, frame, provenance={"stream": frame.stream}, packing=packing
            ),
            lambda frame: (frame.stream, frame.format, frame.samples.dtype.str),
            self.counters,
            fsync=settings.fsync,
        )
        self._strain_segments: Segments[StrainFrame] = Segments(
            settings.folder,
            "strain",
            lambda path, frame: StrainWriter(
                path, self._formats.get(frame.stream), {"stream": frame.stream}, packing
            ),
            lambda frame: (frame.stream, frame.grid, frame.engine),
            self.counters,
            fsync=settings.fsync,
        )
        queue = {
            "policy": "latest",
            "queue_frames": settings.buffer_frames,
            "receive_hwm": 64,
            "keys": settings.keys,
        }
        self._rf = RfMessageReceiver(settings.rf, **queue)  # type: ignore[arg-type]
        try:
            self._strain = StrainReceiver(settings.strain, **queue)  # type: ignore[arg-type]
        except BaseException:
            self._rf.close()
            raise
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._writer = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._writer.start()

    def report(self) -> dict[str, int]:
        """Return what was recorded and what was lost, by stream and cause."""
        counts = self.counters.snapshot()
        for name, receiver in (("rf", self._rf), ("strain", self._strain)):
            counts |= {f"{name}.{key}": n for key, n in receiver.counters.snapshot().items()}
        return counts

    def close(self) -> None:
        """Write what is in the buffers, for half a second at most, and stop. May be called twice.

        Raises
        ------
        RuntimeError
            If the writer failed, so that later frames were not recorded.
        """
        self._stopping.set()
        self._writer.join()
        self._rf.close()
        self._strain.close()
        if self._failure is not None:
            raise RuntimeError("the recording failed") from self._failure

    def _work(self) -> None:
        try:
            self._write()
        except BaseException as error:
            self._failure = error
            raise

    def _write(self) -> None:
        while not self._stopping.is_set():
            self._write_next()
            self._rf_segments.finish_if_due()
            self._strain_segments.finish_if_due()
        give_up = time.monotonic() + _DRAIN_S
        while time.monotonic() < give_up and self._write_next():
            pass
        self._rf_segments.finish()
        self._strain_segments.finish()

    def _write_next(self) -> bool:
        """Write the next frame of each stream; return False if neither stream had one for a moment."""
        sent, strain = self._rf.get(0.0), self._strain.get(0.0)
        if sent is None and strain is None:
            sent, strain = self._rf.get(_LOOK_S), self._strain.get(0.0)
        if sent is not None:
            sent_format = sent.frame.format
            self._formats = {sent.stream: sent_format} if isinstance(sent_format, RfFormat) else {}
            self._write_sent(sent)
        if strain is not None:
            self._strain_segments.write(strain.frame)
        return sent is not None or strain is not None

    def _write_sent(self, sent: RfMessage) -> None:
        try:
            header = sent.defined_header()
        except RtelastoError as error:
            take = (sent.stream, sent.frame.format)
            if take != self._too_long:
                log.error("frames are not recorded from frame %d on: %s", sent.frame_id, error)
                self._too_long = take
            self.counters.add("rf.lost")
        else:
            self._rf_segments.write(sent.frame, header=header)


def _prepare(folder: Path, *, fsync: bool) -> None:
    """Create the folder, with ``fsync`` on the disk too, and prove that it can be written.

    Raises
    ------
    RtelastoError
        If it cannot be written or flushed, or if it holds a recording.
    """
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        if fsync:
            _flush_names(*(place.parent for place in made), folder)
        if any(folder.glob("rf-*.h5")) or any(folder.glob("strain-*.h5")):
            raise RtelastoError(f"{folder} already holds a recording: name another folder")
        probe = folder / f".{uuid.uuid4().hex[:8]}.tmp"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise RtelastoError(f"cannot record into {folder}: {error.strerror or error}") from error


def _flush_names(*folders: Path) -> None:
    for folder in folders:
        try:
            flush_to_disk(folder)
        except OSError as error:
            raise RtelastoError(
                f"cannot flush the folder {folder} to the disk ({error.strerror}): record without --fsync, "
                "or into a folder on another disk"
            ) from error
