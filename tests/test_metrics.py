"""Prometheus metrics of a live run, scraped over HTTP."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
from urllib.request import urlopen

import processes
import pytest
from waiting import WAIT_S

pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")

from prometheus_client.parser import text_string_to_metric_families

from rtelasto.bench.rig import free_endpoint
from rtelasto.bench.stages import timing_frames
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.settings import RunSettings
from rtelasto.telemetry.counters import Counters
from rtelasto.telemetry.prometheus import MetricsServer
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.rf_sender import RfSender

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


def run_metrics(process: subprocess.Popen[str]) -> str:
    """The address that a run prints once it can be scraped."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"metrics at (\S+)", line):
            return found[1]
    raise AssertionError("the run ended before it served metrics")


@pytest.mark.slow
def test_a_run_tells_what_it_counts_and_how_long_it_takes():
    frames = timing_frames(FORMAT)
    strain = free_endpoint()
    with RfSender("tcp://127.0.0.1:0") as sender, StrainReceiver(strain, policy="every") as shown:
        run = ("run", "--rf", sender.endpoint, "--strain", strain, "--engine", "ncc", "--every")
        run += ("--pair", "consecutive")
        with processes.running(*run, "--metrics", "0") as process:
            address = run_metrics(process)
            before = scrape(address)
            assert math.isnan(before["rtelasto_quality", ""])
            assert math.isnan(before["rtelasto_applied_strain", ""])
            assert sender.wait_for_subscriber(WAIT_S)
            sender.send(0 * frames[0].samples, FORMAT)
            for frame in frames:
                sender.send(frame.samples, FORMAT)
            got = [shown.get(WAIT_S) for _ in range(2)]
            assert all(got)
            # The counter rises when the frame is made, its times are there once it is published.
            found = scrape(address)
            while found.get(("rtelasto_frame_seconds_count", ""), 0) < 2:
                found = scrape(address)
            again = restart_of_the_pipeline(process, shown, address)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=WAIT_S)
    assert found["rtelasto_rf_frames_total", ""] == 4
    assert found["rtelasto_strain_frames_total", ""] == 2
    assert found["rtelasto_dropped_frames_total", "frame.constant"] == 1
    assert found["rtelasto_events_total", "pair.first"] == 1
    for stage in ("stretch", "engine", "quality"):
        assert found["rtelasto_stage_seconds_count", stage] == 2
        assert found["rtelasto_stage_seconds_sum", stage] > 0
    # Not beside its parts under one label: a sum over the stages would count everything twice.
    assert ("rtelasto_stage_seconds_count", "total") not in found
    stages = sum(v for (n, _), v in found.items() if n == "rtelasto_stage_seconds_sum")
    assert stages == pytest.approx(found["rtelasto_frame_seconds_sum", ""], rel=0.5)
    assert found["rtelasto_queue_frames", ""] == 0
    # Acquired when it was sent, in this test.
    assert 0.0 < found["rtelasto_newest_frame_age_seconds", ""] < WAIT_S
    assert found["rtelasto_quality", ""] > 0.9
    assert 0.0 <= found["rtelasto_poor_share", ""] < 0.1
    assert found["rtelasto_applied_strain", ""] == pytest.approx(-0.005, abs=1e-3)
    assert found["rtelasto_run_info", "cpu"] == 1
    # After a restart counters and histograms go on, and there is no pair yet.
    assert math.isnan(again["rtelasto_quality", ""])
    assert math.isnan(again["rtelasto_applied_strain", ""])
    assert again["rtelasto_frame_seconds_count", ""] == 2
    assert again["rtelasto_stage_seconds_count", "engine"] == 2
    assert again["rtelasto_rf_frames_total", ""] == 4


def restart_of_the_pipeline(
    process: subprocess.Popen[str], shown: StrainReceiver, address: str
) -> dict[tuple[str, str], float]:
    """Kill the pipeline's process and scrape all the while; what is read once another has begun."""
    assert shown.counters.wait_for("statuses", 1, WAIT_S)
    os.kill(processes.process_of(shown.status), signal.SIGKILL)
    found = scrape(address)
    while ("rtelasto_events_total", "worker.restarts") not in found:
        found = scrape(address)
    return found


def test_the_queue_is_read_when_asked():
    gauges = {"queue_frames": 3.0}
    with MetricsServer(0, Counters(), lambda: gauges, dict) as server:
        assert scrape(server.address)["rtelasto_queue_frames", ""] == 3
        gauges["queue_frames"] = 7.0
        assert scrape(server.address)["rtelasto_queue_frames", ""] == 7
        port = int(server.address.split(":")[2].split("/")[0])
        with pytest.raises(RtelastoError, match=str(port)):
            MetricsServer(port, Counters(), lambda: gauges, dict)
    server.close()
    with pytest.raises(RtelastoError, match="metrics must be a port"):
        RunSettings(metrics=70000)
