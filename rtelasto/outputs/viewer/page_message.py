"""What goes to the page: one binary message a strain frame, one text message a status.

A strain message is a JSON header, padded with spaces to a multiple of 8 bytes behind the header's own
length (uint32, little-endian, and 4 bytes of zero), then the images that the header lists as ``images``,
one after the other, each (n_lines, n_depths) in C order and of the dtype given. `page_images` says how
they are stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from rtelasto.frames.strain import StrainFrame
from rtelasto.outputs.viewer.page_images import page_images, page_motion
from rtelasto.telemetry.counters import losses
from rtelasto.wire.strain import Status, StrainMessage

_ALIGN = 8


def pack_images(message: StrainMessage) -> tuple[dict[str, object], bytes]:
    """Header entries and image bytes of a strain frame: what does not depend on who gets it."""
    frame = message.frame
    strain_scale, images = page_images(message)
    grid = frame.grid
    header: dict[str, object] = {
        "stream": message.stream,
        "seq": message.seq,
        "frame_ids": list(frame.frame_ids),
        "acquired_ms": frame.acquired_ns / 1e6,
        "n_lines": grid.n_lines,
        "n_depths": grid.n_depths,
        "axial_step_m": grid.axial_step_m,
        "line_pitch_m": grid.line_pitch_m,
        "start_depth_m": grid.start_depth_m,
        "strain_scale": strain_scale,
        "images": [[name, image.dtype.str] for name, image in images.items()],
        "motion": page_motion(message),
        "persistence": _persistence(frame),
        "quality": _number(frame.quality),
        "applied_strain": _number(frame.applied_strain),
        "engine": frame.engine,
        "drops": frame.drops,
        "age_from": "arrival" if frame.age_ns is None else "acquisition",
        "stale": frame.stale,
    }
    return header, b"".join(image.tobytes() for image in images.values())


def pack_frame(header: Mapping[str, object], images: bytes) -> bytes:
    """A whole strain message."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN)
    return len(text).to_bytes(4, "little") + bytes(4) + text + images


def pack_status(status: Status | None, viewer: Mapping[str, int], stale_ms: float) -> str:
    """The pipeline's last status (null before the first), what was lost by cause on the way to strain and
    from there to the viewer, what the viewer itself counted, and the age at which frames are not live."""
    lost = {} if status is None else losses(status.counters)
    to_viewer = sum(losses(viewer).values())
    if to_viewer:
        lost["to_viewer"] = to_viewer
    return json.dumps(
        {
            "pipeline": None
            if status is None
            else {
                "rates": {name: _number(rate) for name, rate in status.rates.items()},
                "counters": dict(status.counters),
                "info": dict(status.info),
            },
            "losses": lost,
            "viewer": dict(viewer),
            "stale_ms": stale_ms,
        }
    )


def _persistence(frame: StrainFrame) -> dict[str, float | None] | None:
    """What the average over time holds; None where the pipeline makes none."""
    state = frame.persistence
    if state is None:
        return None
    return {
        "seconds": _number(state.seconds),
        "frames": state.frames,
        "presses": state.presses,
        "age_s": _number(state.age_s),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
