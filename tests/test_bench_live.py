"""The live benchmarks themselves: real processes, every frame accounted for, figures that add up."""

from __future__ import annotations

import json
from pathlib import Path

import processes
import pytest

from rtelasto.bench.latency import measure_latency
from rtelasto.bench.rig import Rig
from rtelasto.bench.throughput import Trial, measure_throughput
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat

pytestmark = pytest.mark.slow

FORMAT = RfFormat(
    n_lines=16, n_samples=512, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)


def test_bursts_follow_each_other_on_one_pipeline() -> None:
    with Rig("ncc", ("--every",), FORMAT) as rig:
        first = rig.burst(50.0, 10)
        between = rig.counters()
        second = rig.burst(50.0, 10)
        after = rig.counters()
    assert rig.started_ns < rig.ready_ns
    assert [arrival.post_id for arrival in first.arrivals] == list(range(1, 10))
    assert [arrival.post_id for arrival in second.arrivals] == list(range(10, 20))
    assert first.lost == between["pair.first"] == 1
    assert second.lost == 0
    assert (between["received"], between["strain.out"]) == (10, 9)
    assert (after["received"], after["strain.out"]) == (20, 19)
    for arrival in second.arrivals:
        assert arrival.sent_ns < arrival.published_ns < arrival.arrived_ns
    assert min(sample.memory_bytes for sample in second.usage) > 2**20
    assert min(sample.descriptors for sample in second.usage) > 0
    assert second.sent.seconds >= 9 / 50.0


def test_a_pipeline_that_cannot_start_says_why() -> None:
    with pytest.raises(RtelastoError, match="engine must be"):
        Rig("nonsense", rf_format=FORMAT)


def test_stages_add_up_to_the_latency() -> None:
    report = measure_latency(
        "ncc", fps=20.0, frames=12, warm_up_frames=4, options=("--every",), rf_format=FORMAT
    )
    assert report.strain_frames == report.frames_sent == 12
    assert report.latencies_ms.size == 12
    whole = report.stages["end to end"]
    assert whole.p50_ms <= whole.p90_ms <= whole.p99_ms <= whole.p999_ms <= whole.max_ms
    assert list(report.stages)[:5] == ["end to end", "wire in", "decode", "queue", "pair"]
    assert {"stretch", "engine", "quality", "wire out", "rest"} <= set(report.stages)
    assert "gpu" not in report.stages
    assert report.start_to_ready_s < report.start_to_first_s
    assert report.jitter.count == 11


def test_throughput_is_a_rate_that_lost_nothing() -> None:
    said: list[Trial] = []
    report = measure_throughput(
        "ncc", seconds=0.3, tolerance=0.5, rf_format=FORMAT, on_trial=said.append
    )
    assert tuple(said) == report.trials
    assert report.trials[-1].sustained
    assert report.trials[-1].fps == report.fps
    assert report.busy_ms > 0.0


@pytest.mark.parametrize(
    ("options", "named"), [({"fps": 0.0}, "fps"), ({"frames": 1}, "frames"), ({"fps": 1e9}, "fps")]
)
def test_impossible_measurements_are_refused(options: dict[str, float], named: str) -> None:
    with pytest.raises(RtelastoError, match=named):
        measure_latency("ncc", **options)  # type: ignore[arg-type]


def test_the_latency_command_writes_table_figures_and_picture(tmp_path: Path) -> None:
    figures, picture = tmp_path / "latency.json", tmp_path / "latency.png"
    result = processes.finish(
        *("bench", "latency", "--engine", "cnn", "--fps", "5", "--frames", "5"),
        *("--warm-up-frames", "3", "--every", "--json-file", str(figures), "--png", str(picture)),
    )
    assert result.returncode == 0, result.stderr
    assert "end to end" in result.stdout
    assert "start to first strain" in result.stdout
    written = json.loads(figures.read_text("utf-8"))
    assert written["engine"] == "cnn"
    assert len(written["latencies_ms"]) == written["strain_frames"] > 0
    assert written["stages"]["engine"]["p50_ms"] > 0.0
    assert picture.read_bytes().startswith(b"\x89PNG")
