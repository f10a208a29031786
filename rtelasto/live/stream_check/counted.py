"""What the counters of a receiver say about its connection and about the order of the messages."""

from __future__ import annotations

from collections.abc import Mapping

from rtelasto.live.stream_check.finding import Finding
from rtelasto.telemetry.counters import losses

# By cause of `rtelasto.wire.message.CAUSES`; "rate" is that of `FloodLimit`.
_MEND = {
    "parts": "send three parts: topic, header, samples",
    "topic": "the first part must be exactly `rf`",
    "header": "the header must be one msgpack map with every key of docs/wire.md",
    "schema": "the sender speaks another version of the format: bring both sides to the same one",
    "type": "the key `type` must be `rf`",
    "kind": "the key `kind` must be rf_lines, iq or channel",
    "dtype": "send int16 or float32 samples, IQ as complex64, and name that in `dtype`",
    "shape": "`shape` must list the size of each axis, lines first, samples last",
    "size": "`shape` and `dtype` must match the bytes that are sent: check samples × lines",
    "format": "frequencies, pitch, depth or sound speed are impossible: check their units (Hz, m, m/s)",
    "rate": "the sender floods the socket with malformed messages: stop it and mend these first",
}


def judge_connection(endpoint: str, counts: Mapping[str, int]) -> list[Finding]:
    """Return what is wrong with the connection and with the messages themselves."""
    found: list[Finding] = []
    malformed = {
        name.removeprefix("malformed."): n
        for name, n in counts.items()
        if n and name.startswith("malformed.")
    }
    n_received, n_connected = counts.get("received", 0), counts.get("connected", 0)
    n_refused, n_disconnected = counts.get("refused", 0), counts.get("disconnected", 0)
    if not n_connected and n_refused:
        found.append(
            Finding(
                "refused",
                f"{endpoint} refused the connection {_times(n_refused)}",
                "only one side uses keys, this machine's key is not allowed there (`rtelasto keys FOLDER "
                "--allow`), or another program has the port; the log line above says which",
            )
        )
    elif not n_connected:
        found.append(
            Finding(
                "no sender",
                f"no program answers at {endpoint}",
                "start the sender (the scanner's bridge or `rtelasto replay`); compare host and port; on "
                "a network, look at the firewall and at the address that the sender binds",
            )
        )
    elif not n_received and not malformed:
        found.append(
            Finding(
                "no frames",
                f"{endpoint} answers and sends no RF frame",
                "unfreeze the scanner, and check that this is the endpoint of RF frames (5555), not of "
                "strain (5556)",
            )
        )
    for cause, n in malformed.items():
        found.append(
            Finding(
                "malformed messages",
                f"{_messages(n)} dropped as malformed.{cause}",
                _MEND.get(cause, "see docs/wire.md"),
            )
        )
    if n_connected and n_disconnected:
        found.append(
            Finding(
                "connection lost",
                f"the connection was lost {_times(n_disconnected)}",
                "the sender restarts, the network drops out, or a message is larger than 64 MiB",
            )
        )
    return found


def judge_order(counts: Mapping[str, int]) -> list[Finding]:
    """Return what is missing, repeated or out of order, each frame under one cause."""
    found: list[Finding] = []
    lost = losses(counts)
    n_received = counts.get("received", 0)
    if n := lost.get("lost_on_wire", 0):
        found.append(
            Finding(
                "lost on the wire",
                f"{n} of {n_received + n} frames that were sent did not arrive (lost_on_wire)",
                "the link is too slow or a receiver too late: use a wired network of enough bandwidth, "
                "a lower frame rate, fewer lines or samples, int16 samples",
            )
        )
    if n := lost.get("not_sent", 0):
        found.append(
            Finding(
                "skipped frames",
                f"{n} frame ids were skipped and never sent (gaps)",
                "the scanner acquires faster than its bridge sends, or frame_id counts something other "
                "than frames: it must rise by one with each acquisition",
            )
        )
    if n := counts.get("repeated", 0):
        found.append(
            Finding(
                "repeated frames",
                f"{n} frames came twice with the same frame_id (repeated)",
                "the bridge asks faster than the scanner acquires; it does no harm, but costs bandwidth",
            )
        )
    if n := counts.get("out_of_order", 0):
        found.append(
            Finding(
                "out of order",
                f"{n} frames came after newer ones and were dropped (out_of_order)",
                "count seq up with each message, and send from one thread over one connection",
            )
        )
    if n := counts.get("restarts", 0):
        found.append(
            Finding(
                "restarts",
                f"the sender started anew, or numbered its frames anew, {_times(n)} (restarts)",
                "keep one stream id and rising frame_id while it runs; each restart begins pairing anew",
            )
        )
    return found


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _messages(n: int) -> str:
    return "1 message" if n == 1 else f"{n} messages"
