"""Prometheus metrics of a live run, scraped over HTTP."""

from __future__ import annotations

import threading
from urllib.request import urlopen

import pytest

pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")

from prometheus_client.parser import text_string_to_metric_families

from rtelasto.counters import Counters
from rtelasto.domain import RfFormat
from rtelasto.errors import RtelastoError
from rtelasto.live import LiveRun
from rtelasto.metrics import MetricsServer
from rtelasto.sender import RfSender
from rtelasto.settings import RunSettings
from rtelasto.timing import timing_frames

WAIT_S = 60.0
FORMAT = RfFormat(
    n_lines=24, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)


def scrape(address: str) -> dict[tuple[str, str], float]:
    """Value by sample name and first label."""
    with urlopen(address) as answer:
        text = answer.read().decode()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_a_run_tells_what_it_counts_and_how_long_it_takes():
    frames = timing_frames(FORMAT)
    with RfSender("tcp://127.0.0.1:0") as sender:
        settings = RunSettings(
            rf=sender.endpoint, strain="tcp://127.0.0.1:0", engine="ncc", every=True, metrics=0
        )
        with LiveRun(settings) as live:
            assert live.metrics is not None
            stop = threading.Event()
            running = threading.Thread(target=live.run, args=(stop,))
            running.start()
            assert sender.wait_for_subscriber(WAIT_S)
            for frame in frames:
                sender.send(frame.samples, FORMAT)
            sender.send(0 * frames[0].samples, FORMAT)
            assert live.counters.wait_for("frame.constant", 1, WAIT_S)
            found = scrape(live.metrics.address)
            stop.set()
            running.join(WAIT_S)
    assert found["rtelasto_rf_frames_total", ""] == 4
    assert found["rtelasto_strain_frames_total", ""] == 2
    assert found["rtelasto_dropped_frames_total", "frame.constant"] == 1
    assert found["rtelasto_events_total", "pair.first"] == 1
    for stage in ("stretch", "engine", "quality", "total"):
        assert found["rtelasto_stage_seconds_count", stage] == 2
        assert found["rtelasto_stage_seconds_sum", stage] > 0
    assert found["rtelasto_queue_frames", ""] == 0
    # Acquired when it was sent, in this test.
    assert 0.0 < found["rtelasto_newest_frame_age_seconds", ""] < WAIT_S
    assert found["rtelasto_quality", ""] > 0.9
    assert found["rtelasto_applied_strain", ""] == pytest.approx(-0.005, abs=1e-3)
    assert found["rtelasto_run_info", "cpu"] == 1


def test_the_queue_is_read_when_asked():
    depth = [3]
    with MetricsServer(0, Counters(), lambda: depth[0], {}) as server:
        assert scrape(server.address)["rtelasto_queue_frames", ""] == 3
        depth[0] = 7
        assert scrape(server.address)["rtelasto_queue_frames", ""] == 7
        port = int(server.address.split(":")[2].split("/")[0])
        with pytest.raises(RtelastoError, match=str(port)):
            MetricsServer(port, Counters(), lambda: 0, {})
    server.close()
    with pytest.raises(RtelastoError, match="metrics must be a port"):
        RunSettings(metrics=70000)
