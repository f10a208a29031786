"""The properties of every input: it is read, or refused with one line, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.errors import RtelastoError
from rtelasto.live.shared_counters import SharedState
from rtelasto.pipeline.engines import open_engine
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline
from rtelasto.sources import open_recording
from rtelasto.sources.strain_file import StrainFile
from rtelasto.telemetry.latency import Latencies
from rtelasto.transport.clock_offset import MAX_AGE_NS, ClockOffset
from rtelasto.transport.sequence import SequenceCheck
from rtelasto.wire.message import CAUSES, WireFault
from rtelasto.wire.rf import decode_rf
from rtelasto.wire.strain import (
    Status,
    decode_status,
    decode_strain,
    encode_status,
    encode_strain,
)

LONGEST_MESSAGE = 1000


def open_file(kind: str, path: Path, options: dict[str, Any]) -> bool:
    """Open a file and read its first and last frame; return whether it was read.

    The only exception allowed is `RtelastoError`.
    """
    try:
        if kind == "strain_file":
            with StrainFile(path) as strain:
                for i in {0, strain.n_frames - 1} if strain.n_frames else ():
                    strain.frame(i)
        else:
            with open_recording(path, **options) as recording:
                for i in {0, recording.n_frames - 1}:
                    recording.frame(i)
                    recording.as_sent(i)
                    if kind == "sent":
                        recording.header_as_sent(i)
                if recording.truth is not None:
                    recording.truth.between(0, recording.n_frames - 1)
    except RtelastoError as error:
        check_message(error)
        return False
    return True


def check_message(error: RtelastoError) -> None:
    """Check that a message is one printable line of limited length."""
    message = str(error)
    assert message, "no message"
    assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters"
    assert message.isprintable(), f"not printable: {message!r}"


DECODERS: dict[str, Callable[[list[bytes]], Any]] = {
    "rf": decode_rf,
    "strain": decode_strain,
    "status": decode_status,
}


def decode(topic: str, parts: list[bytes]) -> Any:
    """Return the result of a decoder for a message; None for a fault.

    The only exception allowed is `WireFault`.
    """
    try:
        return DECODERS[topic](parts)
    except WireFault as error:
        fault = error
    assert fault.cause in CAUSES
    check_message(fault)
    return None


class Way:
    """The processing of a live run between the sockets, for one message after another."""

    def __init__(self, engine: str, policy: PairPolicy) -> None:
        # As in the worker of `rtelasto run`: counters are 64 bits of shared memory.
        self.counters = SharedState().open()[0]
        self._sequence = SequenceCheck(self.counters)
        self._offset = ClockOffset("tcp://127.0.0.1:5555", self.counters)
        self._latencies = Latencies(100)
        estimator = CpuEstimator(open_engine(engine))
        estimator.warm_up()
        self._pipeline = Pipeline(estimator, policy, self.counters, bmode=True, persistence_s=1.0)
        self._seq = 0

    def take(self, parts: list[bytes]) -> str:
        """Process a message; return its result: ``fault``, ``old``, ``waits`` or ``strain``.

        It must not raise, and a resulting strain message must be valid.
        """
        try:
            message = decode_rf(parts, received_ns=monotonic_ns())
        except WireFault:
            return "fault"
        self.counters.add("received")
        if not self._sequence.accept(message.stream, message.seq, message.frame_id):
            return "old"
        frame = message.frame
        self._offset.observe(frame.stream, message.clock, frame.acquired_ns, frame.received_ns)
        strain = self._pipeline.process(frame)
        if strain is None:
            return "waits"
        age_ns = self._offset.age_ns(strain.stream, strain.acquired_ns, monotonic_ns())
        self._latencies.add(min(age_ns or 0, MAX_AGE_NS))
        strain = strain.replace(age_ns=age_ns, published_ns=monotonic_ns())
        sent = encode_strain(strain, stream="fuzz", seq=self._seq, clock=message.clock)
        self._seq += 1
        decode_strain(sent)
        counts = self.counters.snapshot()
        decode_status(encode_status(Status("fuzz", self._seq, counters=counts)))
        return "strain"
