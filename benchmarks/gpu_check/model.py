"""A model of the time of a frame on a GPU, from bytes, operations and launches: nothing is measured here.

python -m benchmarks.gpu_check.model

A launch takes `NODE_S` and the time of its work: the larger of its bytes at the rate of the memory and its
operations at the arithmetic rate of their type. A launch of a single block computes on one multiprocessor;
the steps that it takes one after the other are counted in clock cycles instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.gpu_check.frames import PUBLISHED
from rtelasto.bench.floor import graph_work
from rtelasto.bench.rates import Rates
from rtelasto.cpu.stretching import block_motion, global_motion, refine
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.stretch import STEPS
from rtelasto.pipeline.devices import network_files

# What a node of a CUDA graph takes besides its work.
NODE_S = 2e-6
# Of the shipped network by PyTorch: its operations less those that only look at a tensor differently.
TORCH_LAUNCHES = 330
_THREADS = 512
# Of one comparison with its load from the cache, in the weighted median of `advance`.
_CYCLES_PER_COMPARISON = 8


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
    """Launches of one kernel in an ordinary pair: how many, and what one of them does."""

    stage: str
    name: str
    launches: int
    n_bytes: float = 0.0
    operations: float = 0.0
    cycles: float = 0.0
    bus_bytes: float = 0.0

    def time_s(self, card: Card) -> float:
        """Return the time of all launches."""
        work_s = max(
            self.n_bytes / card.memory_bytes_s,
            self.operations / card.single_ops_s,
            self.cycles / card.clock_hz,
            self.bus_bytes / card.bus_bytes_s,
        )
        return self.launches * (NODE_S + work_s)


def nodes(layout: Layout, *, rounds: int = 10) -> list[Node]:
    """Return the nodes of an ordinary pair, which needs no wide search, without the network.

    Parameters
    ----------
    layout
        Of the recording.
    rounds
        Rounds of refinement that are not idle.
    """
    sizes = layout.integers
    n_lines, n_blocks = sizes["n_lines"], sizes["n_blocks"]
    frame = 4.0 * n_lines * sizes["n_samples"]
    baseband = 8.0 * n_lines * sizes["n_points"]
    image = 4.0 * n_lines * sizes["n_depths"]
    rows = 4.0 * n_lines * sizes["n_rows"]
    block = refine.BLOCK_LINES * refine.BLOCK_POINTS
    products = 8.0 * n_blocks * block * block_motion.N_LAGS
    comparisons = global_motion.FIT_ROUNDS * -(-2 * n_blocks // _THREADS) * n_blocks
    active = 1 + 2 * rounds
    # Both kernels of every step, for the candidates of the wide search too, and the search itself.
    every = 2 * (2 * STEPS - 1) + 6
    return [
        Node("upload", "copy", 1, bus_bytes=layout.frame_bytes),
        Node("ingest", "echoes", 1, n_bytes=1.5 * frame, operations=40 * frame / 4),
        Node("ingest", "demodulate", 1, frame + baseband, baseband * sizes["n_taps"] / 2),
        Node("ingest", "block_energy, frame_statistics", 2, n_bytes=baseband),
        Node("elongation", "measure", rounds + 1, 2 * baseband, products),
        Node("elongation", "advance", rounds, cycles=comparisons * _CYCLES_PER_COMPARISON),
        Node("elongation", "start, judge, conclude", 3, cycles=4000),
        Node("elongation", "idle", every - active),
        Node("resampling", "resample", 1, 2 * frame + 2 * image, 2 * 24 * image),
        Node("resampling", "scale", 1, 4 * image),
        Node("quality", "compose", 1, 5 * rows),
        Node("quality", "agreement", 1, 2 * image + 4 * rows, 40 * image),
        Node("quality", "correlation", 1, 4 * rows),
        # Of a radix select over all rows, by one block: a pass for every byte.
        Node("quality", "medians", 1, cycles=4 * 4 * rows / 4 / _THREADS * _CYCLES_PER_COMPARISON),
        Node("download", "copy", 1, bus_bytes=3 * rows),
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
    made = nodes(layout)
    for node in made:
        times = " | ".join(f"{1e6 * node.time_s(card):.0f}" for card in CARDS)
        print(f"| {node.stage} | {node.name} | {node.launches} | {times} |")
    for name, launches in (("PyTorch, captured", TORCH_LAUNCHES), ("layers, without launches", 0)):
        network = " | ".join(f"{1e6 * network_s(card, launches):.0f}" for card in CARDS)
        print(f"| engine | {name} | {launches} | {network} |")
    sums = (sum(node.time_s(card) for node in made) for card in CARDS)
    launches = sum(node.launches for node in made)
    print(f"| all but the engine | | {launches} |", " | ".join(f"{1e6 * s:.0f}" for s in sums), "|")


if __name__ == "__main__":
    main()
