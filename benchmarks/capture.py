"""Captures the bytes of the strain stream that a client without the right key receives.

    python -m benchmarks.capture [--write]

A real ``rtelasto run --keys`` publishes strain of frames sent at 20 per second. Every client connects through
a TCP proxy that records each byte that the run sends. These bytes are searched for pieces of the images (as
decoded by an allowed client) and for words of the header. The last row is the same run without keys, where
they must be found; otherwise the search would prove nothing. ``--write`` writes the table to
docs/security.md.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zmq

from benchmarks.measured import write_measured
from rtelasto.bench.rig import free_endpoint
from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import RfFormat
from rtelasto.transport.keys import KeyFolder
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.rf_sender import RfSender
from rtelasto.wire.strain import StrainMessage

PAGE = Path(__file__).resolve().parents[1] / "docs" / "security.md"
SMALL = RfFormat(
    n_lines=32,
    n_samples=1024,
    sampling_freq_hz=31.25e6,
    center_freq_hz=7.8125e6,
    line_pitch_m=2.969e-4,
)
FPS = 20.0
START_S = 120.0
# ZMTP's greeting is 64 bytes; CURVE's WELCOME is a command of 168, its ERROR one of 10 here, each after
# 2 bytes of flags and size. A server may send nothing else to a client that it does not accept.
GREETING, WELCOME, ERROR = 64, 2 + 168, 2 + 10
# Long enough not to occur by chance, short enough to be within one packet of the encrypted stream.
PIECE = 24
WORDS = (b"axial_strain", b"frame_ids", b"rtelasto/1", b"published_ns")


class Proxy:
    """Forwards TCP connections to ``endpoint`` and records the answers by connection."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.captured: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                kept = bytearray()
                self.captured.append(kept)
                for source, sink, keep in ((client, server, None), (server, client, kept)):
                    threading.Thread(target=_pump, args=(source, sink, keep), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, keep: bytearray | None) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if keep is not None:
                keep += data
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass
class Captured:
    """The bytes that the run sent to one client."""

    client: str
    connections: list[bytes] = field(repr=False)
    frames: int = 0
    found: int = 0

    @property
    def total(self) -> int:
        return sum(map(len, self.connections))

    @property
    def largest(self) -> int:
        return max(map(len, self.connections), default=0)


@contextmanager
def pipeline(rf: str, strain: str, keys: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "rtelasto", "run", "--engine", "ncc", "--bmode"]
    command += ["--rf", rf, "--strain", strain] + ([] if keys is None else ["--keys", str(keys)])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30.0)


@contextmanager
def sending(keys: Path | None) -> Iterator[str]:
    """Send frames at `FPS` until the end of the block; yields their endpoint."""
    frames = timing_frames(SMALL)
    ended = threading.Event()
    with RfSender("tcp://127.0.0.1:0", keys=keys) as sender:

        def send() -> None:
            number = 0
            while not ended.wait(1.0 / FPS):
                frame = frames[(0, 1, 2, 1)[number % 4]]
                sender.send(frame.samples, frame.format)
                number += 1

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield sender.endpoint
        finally:
            ended.set()
            thread.join()


def pieces(messages: list[StrainMessage]) -> list[bytes]:
    """Return the search terms: pieces from every part of every image, and words of the header."""
    found = list(WORDS)
    for message in messages:
        frame = message.frame
        for image in (
            frame.axial_strain,
            frame.axial_displacement_m,
            frame.correlation,
            frame.bmode,
        ):
            data = b"" if image is None else image.tobytes()
            step = max(len(data) // 50, PIECE)
            cut = (data[at : at + PIECE] for at in range(0, len(data) - PIECE, step))
            # Zeros and other constant values may occur anywhere.
            found += [piece for piece in cut if len(set(piece)) > PIECE // 3]
    return found


def reading(proxy: Proxy, keys: Path | None, seconds: float) -> list[StrainMessage]:
    """Receive with rtelasto's own receiver."""
    with StrainReceiver(proxy.endpoint, keys=keys, policy="every") as receiver:
        until = time.monotonic() + seconds
        messages = []
        while (left := until - time.monotonic()) > 0:
            if (message := receiver.get(left)) is not None:
                messages.append(message)
        return messages


def plain_subscriber(proxy: Proxy, seconds: float) -> None:
    """A SUB socket of plain ZeroMQ without keys."""
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        subscriber.subscribe(b"")
        subscriber.connect(proxy.endpoint)
        assert not subscriber.poll(round(seconds * 1e3))


def stolen_public_key(run: KeyFolder, known: KeyFolder, unknown: KeyFolder) -> Callable[..., None]:
    """A client that uses an allowed public key without its secret key."""

    def client(proxy: Proxy, seconds: float) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
            subscriber.linger = 0
            subscriber.curve_serverkey = run.public
            subscriber.curve_publickey, subscriber.curve_secretkey = known.public, unknown.secret
            subscriber.subscribe(b"")
            subscriber.connect(proxy.endpoint)
            assert not subscriber.poll(round(seconds * 1e3))

    return client


def raw(greeting: bytes, then: bytes) -> Callable[[Proxy, float], None]:
    """A program that uses plain TCP and sends arbitrary bytes, repeatedly."""

    def client(proxy: Proxy, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.02)
            with suppress(OSError), socket.create_connection(("127.0.0.1", proxy.port)) as tcp:
                tcp.settimeout(0.2)
                tcp.sendall(greeting)
                tcp.recv(GREETING)
                tcp.sendall(then)
                while tcp.recv(65536):
                    pass

    return client


def zmtp_greeting(mechanism: bytes) -> bytes:
    return b"\xff" + bytes(8) + b"\x7f\x03\x01" + mechanism.ljust(20, b"\0") + bytes(32)


READY_AND_SUBSCRIBE = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB" + b"\x00\x01\x01"


def with_keys(seconds: float) -> Iterator[Captured]:
    """Try every client, one after the other, on one run with keys."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run, known, unknown, misled = (
            KeyFolder.make(place / who) for who in ("run", "known", "unknown", "misled")
        )
        own = shutil.copy(run.path / "own.key", place / "run.key")
        for who in (known, unknown):
            who.trust("127.0.0.1", Path(own))
        for who in (known, misled):
            run.allow(who.path / "own.key")
        strain = free_endpoint()
        with sending(run.path) as rf, pipeline(rf, strain, run.path):
            with StrainReceiver(strain, keys=run.path) as ready:
                assert ready.get(START_S) is not None, "the run sent no strain"
            rng = np.random.default_rng(0)
            clients: dict[str, Callable[[Proxy, float], object]] = {
                "plain ZeroMQ, no keys": plain_subscriber,
                "rtelasto, no keys": lambda p, s: reading(p, None, s),
                "rtelasto, a key that is not on the list": lambda p, s: reading(p, unknown.path, s),
                "rtelasto, on the list, expects another server's key": lambda p, s: reading(
                    p, misled.path, s
                ),
                "plain ZeroMQ, an allowed public key without its secret": stolen_public_key(
                    run, known, unknown
                ),
                "raw TCP: subscribes as if there were no keys": raw(
                    zmtp_greeting(b"NULL"), READY_AND_SUBSCRIBE
                ),
                "raw TCP: says CURVE, then subscribes": raw(
                    zmtp_greeting(b"CURVE"), READY_AND_SUBSCRIBE
                ),
                "raw TCP: says CURVE, then a random HELLO": raw(
                    zmtp_greeting(b"CURVE"),
                    b"\x04\xc8\x05HELLO\x01\x00" + bytes(72) + rng.bytes(32 + 8 + 80),
                ),
                "rtelasto, the right key on the list": lambda p, s: reading(p, known.path, s),
            }
            captures = []
            decoded: list[StrainMessage] = []
            for client, connect in clients.items():
                proxy = Proxy(strain)
                got = connect(proxy, seconds)
                frames = got if isinstance(got, list) else []
                decoded += frames
                proxy.close()
                captures.append(Captured(client, list(map(bytes, proxy.captured)), len(frames)))
    # The frames repeat, so the last client decoded the same frames that were sent to all.
    yield from looked_through(captures, pieces(decoded))


def without_keys(seconds: float) -> Captured:
    """Do the same without encryption: the search terms must be found."""
    strain = free_endpoint()
    with sending(None) as rf, pipeline(rf, strain, None):
        with StrainReceiver(strain) as ready:
            assert ready.get(START_S) is not None, "the run sent no strain"
        proxy = Proxy(strain)
        frames = reading(proxy, None, seconds)
        proxy.close()
    capture = Captured(
        "(a run without keys, rtelasto)", list(map(bytes, proxy.captured)), len(frames)
    )
    return looked_through([capture], pieces(frames))[0]


def looked_through(captures: list[Captured], wanted: list[bytes]) -> list[Captured]:
    for capture in captures:
        capture.found = sum(
            piece in stream for stream in capture.connections for piece in set(wanted)
        )
    return captures


def table(captures: list[Captured]) -> str:
    rows = [
        "| client | connections | bytes sent to it | most on one connection | strain frames it decoded "
        "| pieces of images or headers found in those bytes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows += [
        f"| {c.client} | {len(c.connections)} | {c.total:,} | {c.largest:,} | {c.frames} | {c.found} |"
        for c in captures
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="duration for each client")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args()
    text = table([*with_keys(options.seconds), without_keys(options.seconds)])
    print(text)
    if options.write:
        write_measured(PAGE, "captured", text)


if __name__ == "__main__":
    main()
