"""Attacks on a bound strain socket, in a separate process.

    python -m benchmarks.flood.attack KIND RATE SECONDS ENDPOINT

It prints the number of attempts as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import zmq

# Kinds with 10,000 messages per second, and two kinds with connections.
KINDS = (
    "subscribes to a new topic each time",
    "subscribes and unsubscribes",
    "sends messages upstream",
    "opens connections that send random bytes",
    "holds 500 connections that say nothing",
)
HALF_OPEN = 500


def paced(do: Callable[[int], None], rate: float, seconds: float) -> int:
    """Call ``do`` with a running number at that rate; return the number of calls."""
    begin, done = time.monotonic(), 0
    while (passed := time.monotonic() - begin) < seconds:
        for _ in range(min(int(passed * rate) - done, 200)):
            do(done)
            done += 1
        time.sleep(0.001)
    return done


def subscriber(endpoint: str, kind: str, rate: float, seconds: float) -> int:
    with zmq.Context() as context, context.socket(zmq.XSUB) as attacker:
        attacker.linger = 0
        attacker.sndhwm = 1000
        attacker.connect(endpoint)

        def do(number: int) -> None:
            text = {
                KINDS[0]: b"\x01%012d" % number,
                KINDS[1]: bytes([1 - number % 2]) + b"nonsense",
                KINDS[2]: b"\x07" + b"nonsense" * 20,
            }[kind]
            attacker.send(text, zmq.DONTWAIT)

        def try_to(number: int) -> None:
            nonlocal refused
            try:
                do(number)
            except zmq.Again:
                refused += 1

        refused = 0
        return paced(try_to, rate, seconds) - refused


def tcp_noise(endpoint: str, rate: float, seconds: float) -> int:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    noise = np.random.default_rng(0).bytes(400)

    def do(number: int) -> None:
        with suppress(OSError), socket.create_connection((host, int(port)), 1.0) as tcp:
            tcp.sendall(noise)

    return paced(do, rate, seconds)


def half_open(endpoint: str, seconds: float) -> int:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    begin, made = time.monotonic(), 0
    held: list[socket.socket] = []
    while time.monotonic() - begin < seconds:
        while len(held) < HALF_OPEN and time.monotonic() - begin < seconds:
            with suppress(OSError):
                held.append(socket.create_connection((host, int(port)), 1.0))
                held[-1].setblocking(False)
                made += 1
        still = []
        for tcp in held:
            try:
                gone = not tcp.recv(4096)
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            tcp.close() if gone else still.append(tcp)
        held = still
        time.sleep(0.05)
    for tcp in held:
        tcp.close()
    return made


def main() -> None:
    kind, rate, seconds, endpoint = sys.argv[1:]
    if kind in KINDS[:3]:
        done = subscriber(endpoint, kind, float(rate), float(seconds))
    elif kind == KINDS[3]:
        done = tcp_noise(endpoint, float(rate), float(seconds))
    else:
        done = half_open(endpoint, float(seconds))
    print(json.dumps(done))


if __name__ == "__main__":
    main()
