"""OpenIGTLink output: strain and B-mode as IMAGE messages, for 3D Slicer, PLUS and similar programs.

The messages come from pyigtl. The server does not: pyigtl's takes one client and queues a hundred messages
for it, which is wrong for a live image. Here every client gets the newest image when it can take one.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtelasto.closing import Closing
from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.rf import Grid
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.clock_offset import StrainAges
from rtelasto.transport.endpoints import in_url, is_loopback_host, listen
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.wire.strain import StrainMessage

STRAIN_DEVICE = "Strain"
BMODE_DEVICE = "BMode"
RELATIVE_DEVICE = "RelativeStrain"
# A client that accepts no data for this long is disconnected.
_SEND_S = 5.0
_LOOK_S = 0.1
# Elevational extent of a pixel, mm: a plane has none, but Slicer needs one.
_SLICE_MM = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IgtlSettings:
    """Where the images come from and where clients connect.

    Parameters
    ----------
    strain
        Endpoint where `rtelasto run` publishes strain.
    keys
        Folder of keys (rtelasto keys) for that; without it ``strain`` must be on this machine.
    host
        Address to bind. OpenIGTLink has neither keys nor encryption, so an address other than loopback is
        refused unless ``open_to_network`` confirms that the network is trusted.
    port
        Port to bind; 0 takes a free one.
    open_to_network
        Send the images to every machine that reaches ``host``.
    only
        Send one kind of image: Strain, RelativeStrain or BMode; by default all three. PLUS needs it, because
        it takes every image for its own, whatever its name.
    """

    strain: str = "tcp://127.0.0.1:5556"
    keys: Path | None = None
    host: str = "127.0.0.1"
    port: int = 18944
    open_to_network: bool = False
    only: Literal["Strain", "RelativeStrain", "BMode"] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise RtelastoError(f"port must lie in 0…65535, got {self.port}")
        if not (self.open_to_network or is_loopback_host(self.host)):
            raise RtelastoError(
                f"host {self.host!r} would send the images to every machine that reaches it, because "
                "OpenIGTLink has no keys: keep 127.0.0.1 and use an ssh tunnel, or give --open-to-network"
            )


class IgtlServer(Closing):
    """Serves images from its creation until it is closed.

    Attributes
    ----------
    address
        (host, port) to which it is bound.
    counters
        Those of `StrainReceiver`, plus ``clients`` (connections made) and ``images_sent``.

    Raises
    ------
    MissingExtraError
        If pyigtl is not installed.
    RtelastoError
        If the address cannot be bound.
    """

    def __init__(self, settings: IgtlSettings) -> None:
        try:
            import pyigtl  # noqa: F401
        except ImportError:
            raise MissingExtraError("OpenIGTLink", "igtl") from None
        self.counters = Counters()
        self._only = settings.only
        self._listener = listen("OpenIGTLink", settings.host, settings.port)
        self._listener.settimeout(_LOOK_S)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.ready = f"OpenIGTLink at {in_url(self.address[0])}:{self.address[1]}"
        self._changed = threading.Condition()
        self._newest: tuple[int, list[bytes]] = (0, [])
        self._clients = 0
        self._stopping = False
        try:
            self._receiver = StrainReceiver(
                settings.strain, counters=self.counters, keys=settings.keys
            )
        except BaseException:
            self._listener.close()
            raise
        self._threads = [
            threading.Thread(target=work, name=f"igtl {work.__name__}", daemon=True)
            for work in (self._accept, self._pack)
        ]
        for thread in self._threads:
            thread.start()

    def report(self) -> dict[str, int]:
        """Return the counters."""
        return self.counters.snapshot()

    def close(self) -> None:
        """Disconnect all clients and stop. May be called twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._receiver.close()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _pack(self) -> None:
        """Build the messages of the newest frame, if any client is connected."""
        ages = StrainAges(self._receiver.endpoint)
        for message in self._receiver:
            begun_ns = ages.begun_ns(message, time.monotonic_ns())
            with self._changed:
                wanted = self._clients > 0
            packed = image_messages(message, begun_ns, self._only) if wanted else []
            with self._changed:
                self._newest = (self._newest[0] + 1, packed)
                self._changed.notify_all()

    def _accept(self) -> None:
        senders: list[threading.Thread] = []
        while not self._stopping:
            try:
                client, address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                # The client left before it was accepted, or no file descriptor is free: try again.
                log.warning("could not accept an OpenIGTLink client: %s", error.strerror or error)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, _LOOK_S)
                continue
            self.counters.add("clients")
            sender = threading.Thread(
                target=self._serve, args=(client, address), name=f"igtl {address}", daemon=True
            )
            sender.start()
            senders = [thread for thread in senders if thread.is_alive()] + [sender]
        for sender in senders:
            sender.join(_LOOK_S)

    def _serve(self, client: socket.socket, address: object) -> None:
        """Send the newest images to one client until it disconnects."""
        with self._changed:
            self._clients += 1
        seen = self._newest[0]
        try:
            with client:
                client.settimeout(_SEND_S)
                while (images := self._newer_than(seen)) is not None:
                    seen, packed = images
                    if _is_disconnected(client):
                        return
                    for message in packed:
                        client.sendall(message)
                        self.counters.add("images_sent")
        except OSError as error:
            log.info(
                "OpenIGTLink client %s disconnected: %s",
                address,
                error,
                extra={"cause": "OpenIGTLink client disconnected"},
            )
        finally:
            with self._changed:
                self._clients -= 1

    def _newer_than(self, number: int) -> tuple[int, list[bytes]] | None:
        """Return the newest images; none, so that the client can be checked, on a timeout; None to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._newest[0] > number, _LOOK_S)
            if self._stopping:
                return None
            return self._newest if self._newest[0] > number else (number, [])


def _is_disconnected(client: socket.socket) -> bool:
    """Whether the client has closed; what it sends (Slicer asks for its status) is discarded."""
    client.setblocking(False)
    try:
        while True:
            if not client.recv(65536):
                return True
    except BlockingIOError:
        return False
    finally:
        with suppress(OSError):
            client.settimeout(_SEND_S)


def image_messages(message: StrainMessage, begun_ns: int, only: str | None = None) -> list[bytes]:
    """Return the IMAGE messages of a strain frame: strain in % (float32) and, if present, relative strain
    (float32) and B-mode (uint8); with ``only``, that of this name.

    Axes i (lateral) and j (depth) are x and y of the world, in mm: x from the middle of the image, y from
    the transducer face; pixels without strain are 0. ``begun_ns`` is the time from which the frame's age is
    counted, on this host's monotonic clock: OpenIGTLink has no flag for "stale", only its timestamp.
    """
    from pyigtl import ImageMessage

    frame = message.frame
    percent = np.nan_to_num(frame.axial_strain, nan=0.0, posinf=0.0, neginf=0.0) * np.float32(100.0)
    images = {STRAIN_DEVICE: percent}
    if frame.relative_strain is not None:
        images[RELATIVE_DEVICE] = np.nan_to_num(frame.relative_strain, nan=0.0)
    if frame.bmode is not None:
        images[BMODE_DEVICE] = frame.bmode  # type: ignore[assignment]
    matrix = pixel_to_world_mm(frame.grid)
    taken_s = acquired_unix_s(message, begun_ns)
    return [
        ImageMessage(
            np.ascontiguousarray(image.T)[None],
            ijk_to_world_matrix=matrix,
            timestamp=taken_s,
            device_name=name,
        ).pack()
        for name, image in images.items()
        if only in (None, name)
    ]


def pixel_to_world_mm(grid: Grid) -> NDArray[np.float64]:
    """Return the homogeneous matrix from pixel (line, depth, 0) to (x, y, z) in mm."""
    matrix = np.diag([1e3 * grid.line_pitch_m, 1e3 * grid.axial_step_m, _SLICE_MM, 1.0])
    matrix[0, 3] = 1e3 * grid.lateral_m[0]
    matrix[1, 3] = 1e3 * grid.start_depth_m
    return matrix


def acquired_unix_s(message: StrainMessage, begun_ns: int) -> float:
    """Return when the frame was acquired, s since 1970: from its sender's clock, or now minus its age."""
    if message.clock == "unix":
        return message.frame.acquired_ns / 1e9
    return time.time() - (time.monotonic_ns() - begun_ns) / 1e9
