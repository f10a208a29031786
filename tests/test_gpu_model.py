"""The model of the time of a frame counts the launches that are made, and there are few of them."""

from __future__ import annotations

from collections import Counter

from benchmarks.gpu_check.frames import PUBLISHED
from benchmarks.gpu_check.model import CARDS, nodes
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.quality import enqueue_quality
from rtelasto.gpu.stretch import enqueue_elongation, enqueue_ingest, enqueue_resampling

LAYOUT = Layout(PUBLISHED, 6.4, 4, False)


def launched(enqueue: object) -> int:
    names: Counter[str] = Counter()

    def launch(name: str, grid: tuple[int, ...], step: int = 0, *, threads: int) -> None:
        names[name] += 1

    enqueue(launch, LAYOUT)  # type: ignore[operator]
    return names.total()


def test_the_model_counts_every_launch() -> None:
    counted: Counter[str] = Counter()
    for node in nodes(LAYOUT):
        counted[node.stage] += node.launches
    assert dict(counted) == {
        "upload": 1,
        "ingest": launched(enqueue_ingest),
        "elongation": launched(enqueue_elongation),
        "resampling": launched(enqueue_resampling),
        "quality": launched(enqueue_quality),
        "download": 1,
    }


def test_a_pair_has_fewer_than_sixty_graph_nodes_before_the_network() -> None:
    before = (enqueue_ingest, enqueue_elongation, enqueue_resampling)
    assert 1 + sum(launched(enqueue) for enqueue in before) < 60


def test_more_rounds_take_longer() -> None:
    for card in CARDS:
        few, many = (
            sum(node.time_s(card) for node in nodes(LAYOUT, rounds=rounds)) for rounds in (4, 10)
        )
        assert few < many
