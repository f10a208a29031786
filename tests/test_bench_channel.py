"""``rtelasto bench --channel`` times channel data and IQ on the way to RF lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rtelasto.bench.channel import ANGLES, SAMPLES, channel_format, iq_format, time_channel
from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.host.threads import available_cores, kernel_threads


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rtelasto", "bench", "--channel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_kind_of_frame_is_timed_on_one_core_and_on_all() -> None:
    before = kernel_threads()
    found = time_channel(frames=2, angles=(1, 2), samples=(256,))
    cores = sorted({1, available_cores()})
    assert [(row.kind, row.n_angles, row.n_samples, row.cores) for row in found] == [
        (kind, n_angles, 256, n)
        for kind, n_angles in (("channel", 1), ("channel", 2), ("iq", 0))
        for n in cores
    ]
    assert all(row.times.count == 2 for row in found)
    assert all(row.fps == pytest.approx(1e3 / row.times.p50_ms) for row in found)
    assert kernel_threads() == before


def test_iq_makes_lines_as_deep_as_channel_data_of_as_many_samples() -> None:
    assert Remodulator(iq_format(2048)).format.n_samples == pytest.approx(2048, abs=4)
    assert Beamformer(channel_format(3, 2048)).format.n_samples <= 2048


@pytest.mark.slow
def test_a_device_that_cannot_be_timed_is_refused() -> None:
    found = run_bench("--device", "tensorrt")
    assert found.returncode == 2
    assert "device must be cpu or gpu with --channel, got tensorrt" in found.stderr


@pytest.mark.slow
def test_the_command_writes_what_it_prints(tmp_path: Path) -> None:
    found = run_bench("--pairs", "1", "--threads", "1", "--json-file", str(tmp_path / "bench.json"))
    assert found.returncode == 0, found.stderr
    rows = json.loads((tmp_path / "bench.json").read_text("utf-8"))["conversions"]
    assert len(rows) == len(SAMPLES) * (len(ANGLES) + 1)
    assert "plane waves: 5" in found.stdout
    assert all(row["fps"] > 0.0 for row in rows)
