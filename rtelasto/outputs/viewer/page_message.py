"""Messages to the page: a binary message for each strain frame, a text message for each status.

A strain message is a JSON header, then the images that the header lists as ``images``, one after the other,
each (n_lines, n_depths) in C order and of the given dtype. The header is preceded by its own length (uint32,
little-endian, and 4 bytes of zero) and padded with spaces to a multiple of 8 bytes. `page_images` describes
how the images are stored.
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
    """Return header entries and image bytes of a strain frame: the part that is the same for all pages."""
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
        "poor_share": _number(frame.poor_share),
        "applied_strain": _number(frame.applied_strain),
        "engine": frame.engine,
        "drops": frame.drops,
        "age_from": "arrival" if frame.age_ns is None else "acquisition",
        "stale": frame.stale,
    }
    return header, b"".join(image.tobytes() for image in images.values())


def pack_frame(header: Mapping[str, object], images: bytes) -> bytes:
    """Return a whole strain message."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN)
    return len(text).to_bytes(4, "little") + bytes(4) + text + images


def pack_status(status: Status | None, viewer: Mapping[str, int], stale_ms: float) -> str:
    """Return the text message: the pipeline's last status (null before the first), losses by cause on the way
    to strain and from there to the viewer, the viewer's own counters, and the age of stale frames."""
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
    """Return the content of the average over time; None if the pipeline makes none."""
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
