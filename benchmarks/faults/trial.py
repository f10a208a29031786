"""A fault tried on a rig, and the account of every frame."""

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

# Of the run's lines only what was said: no time, no level, no name of a module.
_PREFIX = re.compile(r"^\S+ \S+ (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+: ")
# Colours, and what a traceback has beside its last line.
_DULL = re.compile(r"\x1b\[[0-9;]*m|^(?:Traceback .*|File .*|\^+|~.*)$")
_ENDPOINT = re.compile(r"tcp://127\.0\.0\.1:\d+")
_LOSSES = ("gaps", "lost_on_wire", "missed_at_join", "restarts", "worker.lost")
# In columns of their own, and status messages.
_EVENTS = ("statuses_published", "published", "received", "strain.out")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fault did.

    Attributes
    ----------
    fault
        Which one.
    sent, rubbish
        Frames and broken messages that the scanner handed to ZeroMQ.
    received, strain, shown
        RF frames received, strain frames made, and those of them that the subscriber got.
    counted
        Every other counter that rose, by how much.
    died
        Frames that no counter of the run can know: those that went down with the sender, after the last one
        that arrived.
    unaccounted
        Frames received that neither became strain nor were counted as anything else.
    unseen
        Strain frames published that neither reached the subscriber nor were missed by it.
    flows_after_s
        From the end of the fault to the first strain, at the subscriber, of frames acquired after it.
    longest_pause_s
        Longest time without strain at the subscriber, the fault included.
    stale
        Strain frames marked stale.
    said
        What the run said, by line without time and module.
    """

    fault: Fault
    sent: int
    rubbish: int
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
    said: tuple[str, ...]

    def complaints(self) -> list[str]:
        """What did not go as it has to; empty where all did."""
        found = []
        if self.unaccounted:
            found.append(f"{self.unaccounted} frames received are unaccounted for")
        if self.unseen < 0 or (self.unseen and not self.fault.kills_run):
            found.append(f"{self.unseen} strain frames published are unaccounted for")
        if self.died < 0 or (self.died and not self.fault.kills_sender):
            found.append(f"{self.died} frames sent are unaccounted for")
        missing = [name for name in self.fault.counters if not self.counted.get(name)]
        if missing:
            found.append(f"not counted: {', '.join(missing)}")
        rubbish = sum(n for name, n in self.counted.items() if name.startswith("malformed."))
        if rubbish > self.rubbish:
            found.append(f"{rubbish} messages malformed, {self.rubbish} were sent")
        lost = {name: self.counted[name] for name in _LOSSES if self.counted.get(name)}
        if self.fault.lossless and lost:
            found.append(f"frames lost: {lost}")
        return found


def try_fault(fault: Fault, rig: FaultRig, long_s: float) -> Outcome:
    """Inflict a fault on a rig that works, see it work again, and add up.

    ``long_s`` is how long a fault that lasts is to last, in s.
    """
    before = Counter() if fault.new_run else Counter(rig.quiet())
    subscriber_before = Counter(rig.receiver.counters.snapshot())
    sent_before = (0, 0) if fault.new_run else rig.scanner.sent
    mark, seen = len(rig.log()), len(rig.arrivals)
    rig.others_said.clear()
    rig.scanner.tell(send=True)
    rig.wait_for_strain(monotonic_ns())
    over_ns = fault.inflict(rig, long_s)
    flows_ns = rig.wait_for_strain(over_ns)
    after = rig.quiet()
    counted = {name: n - before[name] for name, n in after.items() if n != before[name]}
    sent, rubbish = (now - then for now, then in zip(rig.scanner.sent, sent_before, strict=True))
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
        rubbish=rubbish,
        received=counts["received"],
        strain=counts["strain.out"],
        shown=len(arrivals),
        counted={name: n for name, n in counted.items() if name not in _EVENTS},
        # What comes late was missed before it came.
        died=sent - known + counts["out_of_order"],
        unaccounted=unaccounted(counted),
        unseen=0 if fault.new_run else counts["published"] - subscriber["received"] - missed,
        flows_after_s=(flows_ns - over_ns) / 1e9,
        longest_pause_s=max(pauses_ns) / 1e9,
        stale=sum(arrival.stale for arrival in arrivals),
        said=tuple(_said(rig.log()[mark:], rig.folder)) + tuple(rig.others_said),
    )


def _said(log: str, folder: Path) -> list[str]:
    """Lines of a log, each once, without what differs from run to run."""
    # Code in a traceback is indented; lines of a log are not.
    lines = (line for line in log.splitlines() if not line.startswith("    "))
    lines = (_DULL.sub("", line.strip()) for line in lines)
    lines = (_ENDPOINT.sub("…", _PREFIX.sub("", line)) for line in lines)
    return list(dict.fromkeys(line.replace(f"{folder}/", "") for line in lines if line))
