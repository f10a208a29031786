"""Writes simulated recordings to disk: frames of the simulator through the recording writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.output_check import SIMULATION, check_outputs
from rtelasto_engines.simulate.hand import HandMotion
from rtelasto_engines.simulate.scene import L12_5_FORMAT, PUBLISHED_FORMAT
from rtelasto_engines.simulate.sequence import simulate_sequence

Probe = Literal["l12-5", "published"]
_FORMATS = {"l12-5": L12_5_FORMAT, "published": PUBLISHED_FORMAT}


def write_sequence(
    path: Path,
    *,
    seed: int = 1,
    n_frames: int = 60,
    frame_rate_hz: float = 20.0,
    probe: Probe = "l12-5",
    peak_strain: float = 0.02,
    motion: Literal["fem", "ideal"] = "fem",
    truth: bool = True,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Simulate a hand-held press of layered tissue, 2608 × 128 int16, and write it to ``path``.

    ``progress`` is called with the number of frames done and of all frames. The same seed and options give
    the same frames.

    Raises
    ------
    RtelastoError
        If a parameter is out of range, or the file cannot be written or, without ``force``, would replace
        a file that is not a simulated recording.
    MissingExtraError
        If ``motion`` is ``fem`` and scikit-fem is not installed.
    """
    check_outputs(("recording", path, SIMULATION), force=force)
    rf_format = _FORMATS[probe]
    provenance: dict[str, str | int | float] = {
        "source": "rtelasto simulate",
        "seed": seed,
        "probe": probe,
        "motion": motion,
    }
    with RecordingWriter(path, rf_format, provenance=provenance) as writer:
        sequence = simulate_sequence(
            seed,
            n_frames=n_frames,
            frame_rate_hz=frame_rate_hz,
            rf_format=rf_format,
            hand=HandMotion(peak_strain=peak_strain),
            motion=motion,
        )
        for done, frame in enumerate(sequence.iter_frames(), 1):
            writer.write(frame, sequence.field(frame.frame_id) if truth else None)
            if progress is not None:
                progress(done, n_frames)
