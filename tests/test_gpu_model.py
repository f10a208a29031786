"""The model of the time of a frame counts the launches that are made, and there are few of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from benchmarks.gpu_check.frames import PUBLISHED
from benchmarks.gpu_check.model import CARDS, ORDINARY, STRONG, nodes, persistence_nodes
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.pattern_average import enqueue_add, enqueue_read
from rtelasto.gpu.protocols import Launch
from rtelasto.gpu.quality import enqueue_quality
from rtelasto.gpu.stretch import enqueue_elongation, enqueue_ingest, enqueue_resampling

LAYOUT = Layout(PUBLISHED, 6.4, 4, False)


def launched(enqueue: Callable[[Launch, Layout], None]) -> list[int]:
    """The blocks of every launch."""
    blocks: list[int] = []

    def launch(name: str, grid: tuple[int, ...], step: int = 0, *, threads: int) -> None:
        blocks.append(math.prod(grid))

    enqueue(launch, LAYOUT)
    return blocks


def test_the_model_counts_every_launch() -> None:
    counted: Counter[str] = Counter()
    for node in nodes(LAYOUT):
        counted[node.stage] += node.launches
    assert dict(counted) == {
        "upload": 1,
        "ingest": len(launched(enqueue_ingest)),
        "elongation": len(launched(enqueue_elongation)),
        "resampling": len(launched(enqueue_resampling)),
        "quality": len(launched(enqueue_quality)),
        "download": 1,
    }


def test_the_model_counts_every_launch_of_persistence() -> None:
    """Its launches, and copies: an order before each of them, and what each of them finds out."""
    counted = sum(node.launches for node in persistence_nodes(LAYOUT))
    assert counted == 3 * sum(len(launched(enqueue)) for enqueue in (_add, _read))


def _add(launch: Launch, layout: Layout) -> None:
    enqueue_add(launch, layout.rows)


def _read(launch: Launch, layout: Layout) -> None:
    enqueue_read(launch, layout.rows)


def test_a_pair_has_fewer_than_forty_graph_nodes_before_the_network() -> None:
    before = (enqueue_ingest, enqueue_elongation, enqueue_resampling)
    assert 1 + sum(len(launched(enqueue)) for enqueue in before) < 40


def test_launches_that_find_nothing_to_do_start_few_blocks() -> None:
    """Those of the search for the motion, most of which an ordinary pair does not need."""
    assert max(launched(enqueue_elongation)) <= 2 * LAYOUT.integers["n_blocks"]


def test_a_stronger_press_takes_longer() -> None:
    for card in CARDS:
        ordinary, strong = (
            sum(node.time_s(card) for node in nodes(LAYOUT, press)) for press in (ORDINARY, STRONG)
        )
        assert ordinary < strong
