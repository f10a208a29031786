"""Sends RF frames as a scanner does: for replays, tests, and Python programs with RF lines."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from time import monotonic_ns, time_ns

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import ScannerFormat, ScannerFrame, scanner_frame
from rtelasto.frames.rf import PHYSICS
from rtelasto.frames.stamp import FrameStamp
from rtelasto.transport.publishing import Publisher
from rtelasto.wire.message import TOPIC_RF, Part, buffer_of, short
from rtelasto.wire.rf import decode_rf, encode_rf, wire_samples

_CLOCKS = {"monotonic": monotonic_ns, "unix": time_ns}


class RfSender(Publisher):
    """Publishes RF frames. Not for use from two threads at once.

    Parameters
    ----------
    endpoint
        Where to bind. Port 0 takes a free port; `endpoint` then holds it.
    clock
        The clock of ``acquired_ns``, see docs/wire.md. With "monotonic", a receiver on the same machine
        can compute the age of a frame.
    send_hwm
        Frames kept for a subscriber that does not keep up; it loses the frames beyond them.
    linger_s
        How long closing waits for frames that are still to be sent.
    keys
        Key folder (`rtelasto.transport.keys`); without one ``endpoint`` must be on this machine.

    Raises
    ------
    RtelastoError
        If ``endpoint`` is in use, is invalid, or is open to other machines without keys.

    Notes
    -----
    Counters: ``sent``, ``unheard`` (frames sent while there was no subscriber); with keys
    ``clients_allowed`` and ``clients_refused``.
    """

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:5555",
        *,
        clock: str = "monotonic",
        send_hwm: int = 16,
        linger_s: float = 1.0,
        keys: Path | None = None,
    ) -> None:
        super().__init__(
            TOPIC_RF, endpoint, clock=clock, send_hwm=send_hwm, linger_s=linger_s, keys=keys
        )
        self._next_frame_id = 0

    def send(
        self,
        samples: NDArray[np.generic],
        scanner_format: ScannerFormat,
        *,
        frame_id: int | None = None,
        acquired_ns: int | None = None,
    ) -> None:
        """Send one frame; never blocks.

        Parameters
        ----------
        samples
            RF lines or IQ (n_lines, n_samples), channel data (n_acquisitions, n_channels,
            n_samples), any dtype of the kind; may be changed again afterwards.
        scanner_format
            What the samples are: an `RfFormat`, `IqFormat` or `ChannelFormat`.
        frame_id
            Acquisition count; by default one more than the last.
        acquired_ns
            When it was acquired, on ``clock``; by default now, which is available only for the clocks
            "monotonic" and "unix".

        Raises
        ------
        RtelastoError
            If the samples do not match ``scanner_format``.
        """
        if frame_id is None:
            frame_id = self._next_frame_id
        if acquired_ns is None:
            if self.clock not in _CLOCKS:
                raise ValueError(f"acquired_ns must be given with clock {self.clock!r}")
            acquired_ns = _CLOCKS[self.clock]()
        frame = scanner_frame(
            wire_samples(samples), scanner_format, FrameStamp(frame_id, acquired_ns)
        )
        parts = encode_rf(frame, stream=self.stream, seq=self._seq, clock=self.clock)
        self._hand_over(parts)
        self._seq += 1
        self._next_frame_id = frame_id + 1

    def send_again(self, header: bytes, frame: ScannerFrame) -> None:
        """Send a message that another sender sent, byte for byte; never blocks.

        Parameters
        ----------
        header
            The header as it came. Its stream and counts are those of the other sender.
        frame
            The frame that came with it.

        Raises
        ------
        RtelastoError
            If the header is not one of this frame.
        """
        self._hand_over(message_of(header, frame))

    def _hand_over(self, parts: list[Part]) -> None:
        if not self._socket.subscribed(TOPIC_RF):
            self.counters.add("unheard")
        self._socket.send(parts)
        self.counters.add("sent")


def message_of(header: bytes, frame: ScannerFrame) -> list[Part]:
    """Return the parts of a message with this header, as it came.

    Raises
    ------
    RtelastoError
        If the header is not one of this frame.
    """
    parts: list[Part] = [TOPIC_RF, header, buffer_of(wire_samples(frame.samples))]
    read, said = frame.format, decode_rf(parts).frame.format
    if read != said:
        names = [
            f.name for f in fields(read) if getattr(read, f.name) != getattr(said, f.name, None)
        ]
        differences = ", ".join(
            f"{name} {short(getattr(read, name))} (header: {short(getattr(said, name, None))})"
            for name in names
        )
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in names if name in PHYSICS)
        advice = f": omit {flags} to send what was sent" if flags else ""
        raise RtelastoError(
            f"frame {frame.frame_id} is not read as its header says, {differences}{advice}"
        )
    return parts
