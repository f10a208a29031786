"""Tries a fault on a rig and accounts for every frame."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import monotonic_ns

from benchmarks.faults.fault import Fault
from benchmarks.faults.rig import FaultRig
from rtelasto.telemetry.counters import unaccounted

# Only the message of a log line is kept: no time, level or module name.
_PREFIX = re.compile(r"^\S+ \S+ (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+: ")
# Colours, and all lines of a traceback except the last.
_DULL = re.compile(r"\x1b\[[0-9;]*m|^(?:Traceback .*|File .*|\^+|~.*)$")
_ENDPOINT = re.compile(r"tcp://127\.0\.0\.1:\d+")
_LOSSES = ("gaps", "lost_on_wire", "missed_at_join", "restarts", "worker.lost")
# Counters with their own columns, and status messages.
_EVENTS = ("statuses_published", "published", "received", "strain.out")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a fault.

    Attributes
    ----------
    fault
        The fault.
    sent, malformed
        Frames and malformed messages that the scanner handed to ZeroMQ.
    received, strain, shown
        RF frames received, strain frames computed, and those of them that the subscriber received.
    counted
        The increase of every other counter.
    died
        Frames that no counter of the run can include: those lost with the sender after the last one that
        arrived.
    unaccounted
        Frames received that neither became strain nor were counted as anything else.
    unseen
        Strain frames published that neither reached the subscriber nor were missed by it.
    flows_after_s
        Time from the end of the fault to the first strain, at the subscriber, of frames acquired after it.
    longest_pause_s
        Longest time without strain at the subscriber, including the fault.
    stale
        Strain frames marked stale.
    messages
        Log lines of the run, without time and module.
    """

    fault: Fault
    sent: int
    malformed: int
    received: int
    strain: int
    shown: int
    counted: dict[str, int]
    died: int
    unaccounted: int
    unseen: int
    flows_after_s: float
    longest_pause_s: float
    stale: int
    messages: tuple[str, ...]

    def complaints(self) -> list[str]:
        """Return the failures; empty if there are none."""
        found = []
        if self.unaccounted:
            found.append(f"{self.unaccounted} frames received are unaccounted for")
        # A killed run may have sent a frame that it did not count as published.
        wrong = self.unseen < -1 if self.fault.kills_run else self.unseen != 0
        if wrong:
            found.append(f"{self.unseen} strain frames published are unaccounted for")
        if self.died < 0 or (self.died and not self.fault.kills_sender):
            found.append(f"{self.died} frames sent are unaccounted for")
        missing = [name for name in self.fault.counters if not self.counted.get(name)]
        if missing:
            found.append(f"not counted: {', '.join(missing)}")
        malformed = sum(n for name, n in self.counted.items() if name.startswith("malformed."))
        if malformed > self.malformed:
            found.append(f"{malformed} messages malformed, {self.malformed} were sent")
        lost = {name: self.counted[name] for name in _LOSSES if self.counted.get(name)}
        if self.fault.lossless and lost:
            found.append(f"frames lost: {lost}")
        return found


def try_fault(fault: Fault, rig: FaultRig, long_s: float) -> Outcome:
    """Inflict a fault on a working rig, wait until it works again, and add up the frames.

    ``long_s`` is the duration of lasting faults in s.
    """
    before = Counter() if fault.new_run else Counter(rig.quiet())
    subscriber_before = Counter(rig.receiver.counters.snapshot())
    sent_before = (0, 0) if fault.new_run else rig.scanner.sent
    mark, seen = len(rig.log()), len(rig.arrivals)
    rig.others_reported.clear()
    rig.scanner.command(send=True)
    rig.wait_for_strain(monotonic_ns())
    over_ns = fault.inflict(rig, long_s)
    flows_ns = rig.wait_for_strain(over_ns)
    after = rig.quiet()
    counted = {name: n - before[name] for name, n in after.items() if n != before[name]}
    sent, malformed = (now - then for now, then in zip(rig.scanner.sent, sent_before, strict=True))
    counts = Counter(counted)
    known = counts["received"] + counts["lost_on_wire"] + counts["missed_at_join"]
    arrivals = rig.arrivals[seen:]
    times_ns = [arrival.arrived_ns for arrival in arrivals]
    pauses_ns = [b - a for a, b in pairwise(times_ns)]
    subscriber = Counter(rig.receiver.counters.snapshot())
    subscriber.subtract(subscriber_before)
    missed = subscriber["lost_on_wire"] + subscriber["missed_at_join"]
    return Outcome(
        fault=fault,
        sent=sent,
        malformed=malformed,
        received=counts["received"],
        strain=counts["strain.out"],
        shown=len(arrivals),
        counted={name: n for name, n in counted.items() if name not in _EVENTS},
        # A late frame was counted as missed before it arrived.
        died=sent - known + counts["out_of_order"],
        unaccounted=unaccounted(counted),
        unseen=0 if fault.new_run else counts["published"] - subscriber["received"] - missed,
        flows_after_s=(flows_ns - over_ns) / 1e9,
        longest_pause_s=max(pauses_ns) / 1e9,
        stale=sum(arrival.stale for arrival in arrivals),
        messages=tuple(_messages(rig.log()[mark:], rig.folder)) + tuple(rig.others_reported),
    )


def _messages(log: str, folder: Path) -> list[str]:
    """Return the lines of a log, each once, without parts that differ between runs."""
    # Code in a traceback is indented; lines of a log are not.
    lines = (line for line in log.splitlines() if not line.startswith("    "))
    lines = (_DULL.sub("", line.strip()) for line in lines)
    lines = (_ENDPOINT.sub("…", _PREFIX.sub("", line)) for line in lines)
    return list(dict.fromkeys(line.replace(f"{folder}/", "") for line in lines if line))
