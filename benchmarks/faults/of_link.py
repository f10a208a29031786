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
    """Hold for less time than a frame stays useful."""
    return _held(rig, 1.0)


def _delayed(rig: FaultRig, long_s: float) -> int:
    rig.link.delay_s = 0.4
    rig.wait_for_strain(monotonic_ns(), count=10)
    rig.link.mend()
    return monotonic_ns()


def _throttled(rig: FaultRig, long_s: float) -> int:
    """Limit the rate to a tenth of what is needed, until the buffers are full and frames are lost."""
    frame_bytes = 2 * rig.rf_format.n_lines * rig.rf_format.n_samples
    lost = rig.counted("lost_on_wire")
    rig.link.bytes_per_s = frame_bytes * rig.fps / 10.0
    rig.wait_until(lambda: rig.counted("lost_on_wire") > lost, "the narrow link lost no frames")
    rig.link.mend()
    return monotonic_ns()


FAULTS = (
    Fault("link cut", "connections closed, new ones refused", _cut, ("disconnected", "gaps")),
    Fault("link dead", "no data, connections stay open", _held, ("strain.stale",)),
    Fault("link stalls", "no data for a second", _briefly_held),
    Fault("link delayed", "all data 0.4 s late", _delayed, ("strain.stale",)),
    Fault(
        "link too narrow",
        "a tenth of the rate that frames need",
        _throttled,
        ("gaps", "strain.stale"),
    ),
)
