"""A model of the time of a frame on a GPU, from bytes, operations and launches: nothing is measured here.

python -m benchmarks.gpu_check.model

A launch takes `NODE_S` and the time of its work: the larger of its bytes at the rate of the memory and its
operations at the arithmetic rate of their type. What a single block does computes on one multiprocessor; the
steps that its threads take one after the other are counted in clock cycles instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.gpu_check.frames import PUBLISHED
from rtelasto.bench.floor import graph_work
from rtelasto.bench.rates import Rates
from rtelasto.cpu.averaging import running_average
from rtelasto.cpu.averaging.measurement import n_nodes
from rtelasto.cpu.stretching import block_motion, refine
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.stretch import STEPS
from rtelasto.pipeline.devices import network_files

# What a node of a CUDA graph takes besides its work.
NODE_S = 2e-6
# Of the shipped network by PyTorch: its operations less those that only look at a tensor differently.
TORCH_LAUNCHES = 330
# Of one step of a thread, an operation with its operand from the cache, and of a loop besides its steps: a
# barrier, and the wait for the first operand.
_CYCLES_PER_STEP = 8
_CYCLES_PER_LOOP = 40


@dataclass(frozen=True, slots=True)
class Press:
    """What refinement takes for a pair: launches that are not idle, and rounds of the robust fits in them.

    As the CPU back-end takes them for pairs of `benchmarks.gpu_check.frames` at the published size.
    """

    strain: float
    launches: int
    fit_rounds: int


ORDINARY = Press(0.005, 6, 25)
STRONG = Press(0.03, 8, 42)


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU by its data sheet; the memory at nine tenths of its rate, half precision on tensor cores."""

    name: str
    memory_bytes_s: float
    single_ops_s: float
    half_ops_s: float
    clock_hz: float
    bus_bytes_s: float


CARDS = (
    Card("H100 SXM", 3.0e12, 60e12, 790e12, 1.755e9, 50e9),
    Card("RTX 4070", 0.45e12, 29e12, 117e12, 2.475e9, 25e9),
)


@dataclass(frozen=True, slots=True)
class Node:
    """Launches of one kernel for a pair: how many, and what one of them does.

    ``alone_cycles`` are those of its last block, after all others are done.
    """

    stage: str
    name: str
    launches: int
    n_bytes: float = 0.0
    operations: float = 0.0
    cycles: float = 0.0
    bus_bytes: float = 0.0
    alone_cycles: float = 0.0

    def time_s(self, card: Card) -> float:
        """Return the time of all launches."""
        work_s = max(
            self.n_bytes / card.memory_bytes_s,
            self.operations / card.single_ops_s,
            self.cycles / card.clock_hz,
            self.bus_bytes / card.bus_bytes_s,
        )
        return self.launches * (NODE_S + work_s + self.alone_cycles / card.clock_hz)


def _cycles(threads: int, *loops: tuple[int, int]) -> float:
    """Return the cycles of loops of one block, given as items and the steps of an item."""
    rounds = ((-(-items // threads), steps) for items, steps in loops)
    return sum(_CYCLES_PER_LOOP + n * steps * _CYCLES_PER_STEP for n, steps in rounds)


def _median_loops(n: int, sets: int, n_bytes: int) -> list[tuple[int, int]]:
    """The loops of `weighted_medians`: for each byte counts, sums of 256 bins in four steps, and the bin."""
    bins = 256 * sets
    return n_bytes * [(sets * n, 3), (bins, 2), *(4 * [(bins, 4)]), (bins, 2), (sets, 4)]


def _fit_round_cycles(n_blocks: int, threads: int = 256) -> float:
    """Return the cycles of a round of `robust_fit`, which makes the axial and the lateral fit."""
    points_of_a_part, solve = 14 * -(-n_blocks // 128), 60
    return _cycles(
        threads,
        (256, points_of_a_part),
        (224, 16),
        (28, 8),
        (2, solve),
        (2 * n_blocks, 4),
        *_median_loops(n_blocks, 2, 3),
        (2, 2),
        (2 * n_blocks, 3),
    )


def nodes(layout: Layout, press: Press = ORDINARY) -> list[Node]:
    """Return the nodes of a pair that needs no wide search, without the network."""
    sizes = layout.integers
    n_lines, n_blocks = sizes["n_lines"], sizes["n_blocks"]
    frame = 4.0 * n_lines * sizes["n_samples"]
    baseband = 8.0 * n_lines * sizes["n_points"]
    image = 4.0 * n_lines * sizes["n_depths"]
    rows = 4.0 * n_lines * sizes["n_rows"]
    block = refine.BLOCK_LINES * refine.BLOCK_POINTS
    products = 8.0 * n_blocks * block * block_motion.N_LAGS
    fits = press.fit_rounds / press.launches * _fit_round_cycles(n_blocks)
    # Every step for the pair and for the candidates of the wide search, and the search itself.
    every = 2 * STEPS + 6
    medians = _cycles(512, *_median_loops(n_lines * sizes["n_rows"], 1, 4))
    return [
        Node("upload", "copy", 1, bus_bytes=layout.frame_bytes),
        Node("ingest", "echoes", 1, n_bytes=1.5 * frame, operations=40 * frame / 4),
        Node("ingest", "demodulate", 1, frame + baseband, baseband * sizes["n_taps"] / 2),
        Node("ingest", "block_energy", 1, n_bytes=baseband),
        Node("ingest", "frame_statistics", 1, cycles=_cycles(512, *_median_loops(n_blocks, 1, 4))),
        Node("elongation", "refine", press.launches, 2 * baseband, products, alone_cycles=fits),
        Node("elongation", "start, conclude", 2, cycles=2000),
        Node("elongation", "idle", every - press.launches),
        Node("resampling", "resample", 1, 2 * frame + 2 * image, 2 * 24 * image),
        Node("resampling", "scale", 1, 4 * image),
        Node("quality", "compose", 1, 5 * rows),
        Node("quality", "agreement", 1, 2 * image + 4 * rows, 40 * image),
        Node("quality", "correlation", 1, 5 * rows),
        Node("quality", "gaps", 1, 6 * rows, 40 * rows / 4),
        Node("quality", "settle", 1, 6 * rows),
        Node("quality", "follow", 1, 3 * rows),
        Node("quality", "medians", 1, cycles=medians),
        Node("quality", "node_means", 1, 3 * rows),
        Node("download", "copy", 1, bus_bytes=4 * rows + 12.0 * math.prod(n_nodes(layout.rows))),
    ]


def persistence_nodes(layout: Layout) -> list[Node]:
    """Return what the average over time adds to a pair: no graph, and the host waits for both downloads."""
    grid = layout.rows
    rows, nodes = 4.0 * math.prod(grid.shape), 4.0 * math.prod(n_nodes(grid))
    # Of a line that is compared; all lines are at work at once.
    compared = _median_loops(-(-grid.n_depths // running_average.ROW_STEP), 1, 4)
    line = _cycles(256, (grid.n_depths, 60), *(2 * compared))
    return [
        Node("persistence", "orders", 2, bus_bytes=2 * nodes),
        Node("persistence", "add_pattern", 1, n_bytes=2 * rows + 6 * rows, cycles=line),
        Node("persistence", "copy of distances", 1, bus_bytes=8.0 * grid.n_lines),
        Node("persistence", "read_pattern", 1, n_bytes=3 * rows + 2 * rows),
        Node("persistence", "copy of images", 1, bus_bytes=2 * rows),
    ]


def network_s(card: Card, launches: int) -> float:
    """Return the time of the shipped network in half precision, all layers through memory."""
    single, half = network_files("cnn")
    work = graph_work(half or single, PUBLISHED)
    rates = Rates(card.memory_bytes_s, card.half_ops_s)
    return work.layered_s(rates) + NODE_S * launches


def main() -> None:
    layout = Layout(PUBLISHED, 6.4, 4, False)
    print(f"| stage | node | launches | {' | '.join(f'{card.name}, µs' for card in CARDS)} |")
    print("| --- | --- | --- |" + " --- |" * len(CARDS))
    for node in nodes(layout) + persistence_nodes(layout):
        print(f"| {node.stage} | {node.name} | {node.launches} | {_times(node.time_s)} |")
    for name, launches in (("PyTorch, captured", TORCH_LAUNCHES), ("layers, without launches", 0)):
        times = _times(partial(network_s, launches=launches))
        print(f"| engine | {name} | {launches} | {times} |")
    for press in (ORDINARY, STRONG):
        made = nodes(layout, press)
        launches = sum(node.launches for node in made)
        times = _times(lambda card, made=made: sum(node.time_s(card) for node in made))
        print(
            f"| all but engine and persistence | {press.strain:.1%} strain | {launches} | {times} |"
        )


def _times(time_s: Callable[[Card], float]) -> str:
    """Return the time on every card, in µs, as cells of a table."""
    return " | ".join(f"{1e6 * time_s(card):.0f}" for card in CARDS)


if __name__ == "__main__":
    main()
