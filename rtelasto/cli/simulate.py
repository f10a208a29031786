"""``rtelasto simulate``: write a recording with exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rtelasto.cli.terminal import busy, notes
from rtelasto.errors import RtelastoError
from rtelasto.host.names import printable_name
from rtelasto.host.threads import limit_threads
from rtelasto.offline.simulate import Probe, write_sequence


def simulate(
    file: Path,
    *,
    frames: int = 60,
    frame_rate_hz: float = 20.0,
    probe: Probe = "l12-5",
    strain: float = 0.01,
    motion: Literal["fem", "ideal"] = "fem",
    truth: bool = True,
    seed: int = 1,
    force: bool = False,
    threads: int | None = None,
) -> None:
    """Write a simulated recording with exact truth: a hand-held press of layered tissue.

    Parameters
    ----------
    file
        HDF5 file to write, in zea's layout.
    frames
        Number of frames, 2608 × 128 int16 each.
    frame_rate_hz
        Frames per second.
    probe
        l12-5 (7.8 MHz, 31.25 MHz sampling) or published (6.25 MHz, 40 MHz).
    strain
        Peak applied strain; 0.01 is 1 %.
    motion
        fem (finite elements) or ideal (closed-form motion; needs no scikit-fem).
    truth
        Also write the true displacement and strain.
    seed
        The same seed gives the same recording.
    force
        Replace an existing file even if it is not a simulated recording.
    threads
        Cores to use; by default all that are available to this process.
    """
    limit_threads(threads)
    if not 1e-4 <= strain <= 0.1:
        raise RtelastoError(f"strain must lie in 0.0001…0.1, got {strain:g}")
    with busy("solving the tissue's motion …") as show:

        def progress(done: int, total: int) -> None:
            show(f"{done} of {total} frames")

        write_sequence(
            file,
            seed=seed,
            n_frames=frames,
            frame_rate_hz=frame_rate_hz,
            probe=probe,
            peak_strain=strain,
            motion=motion,
            truth=truth,
            force=force,
            progress=progress,
        )
    notes.print(
        f"{printable_name(file)}: {frames} frames at {frame_rate_hz:g} frames/s, seed {seed}"
    )
