"""The stretch stage on the device: global elongation and resampling, without transfers to or from the host.

The CPU back-end decides after every round of refinement whether to continue. Here the maximum number of
rounds is enqueued, one launch each: the last block to measure fits the motion. The state of the refinement
is on the device, and rounds that are not needed return at once, in about two microseconds each.
"""

from __future__ import annotations

from rtelasto.cpu.stretching.refine import LEVELLING_ROUNDS, TIGHT_ROUNDS
from rtelasto.cpu.stretching.wide_search import N_HYPOTHESES
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.protocols import Launch
from rtelasto.gpu.source import CHUNK, SCALE_CHUNK

# One measurement follows the last tight round and one follows the last levelling round.
STEPS = TIGHT_ROUNDS + LEVELLING_ROUNDS + 1


def _parts(size: int, part: int) -> int:
    return -(-size // part)


def enqueue_ingest(launch: Launch, layout: Layout) -> None:
    """Write the echoes of an uploaded frame and their baseband to the ring."""
    sizes = layout.integers
    launch("echoes", (_parts(sizes["n_samples"], CHUNK), sizes["n_lines"]), threads=256)
    launch("demodulate", (_parts(sizes["n_points"], CHUNK), sizes["n_lines"]), threads=256)
    launch("block_energy", (sizes["n_axial"], sizes["n_lateral"]), threads=256)
    launch("frame_statistics", (1,), threads=512)


def enqueue_elongation(launch: Launch, layout: Layout) -> None:
    """Write the global elongation of the pair that the header names to the summary."""
    sizes = layout.integers
    launch("start", (1,), threads=32)
    _enqueue_refinement(launch, layout, first=0, candidates=1)
    if sizes["n_hypotheses"]:
        _enqueue_wide_search(launch, layout)
        _enqueue_refinement(launch, layout, first=1, candidates=N_HYPOTHESES)
    launch("conclude", (1,), threads=32)


def _enqueue_refinement(launch: Launch, layout: Layout, *, first: int, candidates: int) -> None:
    blocks = (layout.integers["n_axial"], layout.integers["n_lateral"], candidates)
    for _ in range(STEPS):
        launch("refine", blocks, first, threads=256)


def _enqueue_wide_search(launch: Launch, layout: Layout) -> None:
    sizes = layout.integers
    texture = (_parts(sizes["n_texture"], CHUNK), sizes["n_lines"], 2)
    launch("envelope", texture, threads=256)
    launch("texture", texture, threads=256)
    launch("volumes", (sizes["wide_axial"], sizes["wide_lateral"]), threads=512)
    launch("votes", (2 * sizes["tops"] + 1, sizes["wide_lateral"]), threads=512)
    launch("tilts", (sizes["n_tilts"],), threads=256)
    launch("propose", (N_HYPOTHESES,), threads=512)


def enqueue_resampling(launch: Launch, layout: Layout) -> None:
    """Write both frames on the engine's grid, scaled to a joint RMS of 1, to ``pre`` and ``post``."""
    sizes = layout.integers
    chunks = _parts(sizes["n_depths"], sizes["out_chunk"])
    launch("resample", (chunks, sizes["n_lines"], 2), threads=256)
    pixels = 2 * sizes["n_lines"] * sizes["n_depths"]
    launch("scale", (_parts(pixels, SCALE_CHUNK),), threads=256)
