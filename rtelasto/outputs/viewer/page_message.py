"""What goes to the page: one binary message a strain frame, one text message a status.

A strain message is a JSON header, padded with spaces to a multiple of 8 bytes behind the header's own
length (uint32, little-endian, and 4 bytes of zero), then the images one after the other, each
(n_lines, n_depths) in C order: strain int16, correlation uint8 and, where the stream has it, B-mode
uint8. Strain is ``strain_scale`` times the integer, -32768 where there is none: 16 bits over the frame's
own range keep five digits, and a frame takes half the room that it has on the strain stream.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np

from rtelasto.telemetry.counters import losses
from rtelasto.wire.strain import Status, StrainMessage

NO_STRAIN = -32768
_LARGEST = 32767
_ALIGN = 8


def pack_images(message: StrainMessage) -> tuple[dict[str, object], bytes]:
    """Header entries and image bytes of a strain frame: what does not depend on who gets it."""
    frame = message.frame
    strain = frame.axial_strain
    finite = np.isfinite(strain)
    all_finite = bool(finite.all())
    usable = strain if all_finite else np.where(finite, strain, np.float32(0.0))
    largest = float(np.abs(usable).max())
    scale = largest / _LARGEST if largest > 0.0 else 1.0
    quantised = np.rint(usable * np.float32(1.0 / scale)).astype("<i2")
    if not all_finite:
        quantised[~finite] = NO_STRAIN
    correlation = np.nan_to_num(frame.correlation) * np.float32(255.0) + np.float32(0.5)
    images = [quantised.tobytes(), correlation.astype(np.uint8).tobytes()]
    if frame.bmode is not None:
        images.append(np.ascontiguousarray(frame.bmode).tobytes())
    grid = frame.grid
    header: dict[str, object] = {
        "stream": message.stream,
        "seq": message.seq,
        "frame_ids": list(frame.frame_ids),
        "n_lines": grid.n_lines,
        "n_depths": grid.n_depths,
        "axial_step_m": grid.axial_step_m,
        "line_pitch_m": grid.line_pitch_m,
        "start_depth_m": grid.start_depth_m,
        "strain_scale": scale,
        "bmode": frame.bmode is not None,
        "quality": _number(frame.quality),
        "applied_strain": _number(frame.applied_strain),
        "engine": frame.engine,
        "drops": frame.drops,
        "age_from": "arrival" if frame.age_ns is None else "acquisition",
        "stale": frame.stale,
    }
    return header, b"".join(images)


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


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
