"""Faults of the link between scanner and run."""

from __future__ import annotations

import time
from time import monotonic_ns

from benchmarks.faults.fault import Fault
from benchmarks.faults.rig import FaultRig


def _cut(rig: FaultRig, long_s: float) -> int:
    rig.link.cut()
    time.sleep(long_s)
    rig.link.mend()
    return monotonic_ns()


def _held(rig: FaultRig, long_s: float) -> int:
    rig.link.held = True
    time.sleep(long_s)
    rig.link.mend()
    return monotonic_ns()


def _briefly_held(rig: FaultRig, long_s: float) -> int:
    """Shorter than a frame is still of use."""
    return _held(rig, 1.0)


def _delayed(rig: FaultRig, long_s: float) -> int:
    rig.link.delay_s = 0.4
    rig.wait_for_strain(monotonic_ns(), count=10)
    rig.link.mend()
    return monotonic_ns()


def _throttled(rig: FaultRig, long_s: float) -> int:
    """A tenth of what the frames need, until the buffers between are full and frames are lost."""
    frame_bytes = 2 * rig.rf_format.n_lines * rig.rf_format.n_samples
    lost = rig.counted("lost_on_wire")
    rig.link.bytes_per_s = frame_bytes * rig.fps / 10.0
    rig.wait_until(lambda: rig.counted("lost_on_wire") > lost, "a narrow link loses nothing")
    rig.link.mend()
    return monotonic_ns()


FAULTS = (
    Fault("link cut", "connections closed, new ones refused", _cut, ("disconnected", "gaps")),
    Fault("link dead", "nothing moves, connections stay open", _held, ("strain.stale",)),
    Fault("link stalls", "nothing moves for a second", _briefly_held),
    Fault("link slow to deliver", "everything 0.4 s late", _delayed, ("strain.stale",)),
    Fault(
        "link too narrow",
        "a tenth of the rate that frames need",
        _throttled,
        ("gaps", "strain.stale"),
    ),
)
