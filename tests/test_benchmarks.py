"""What the benchmarks compute from what they measure, and that every peer really works on the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import recording, report, scaling
from benchmarks.peers import Peer, compare, encoder_decoder, optical_flow, published_cnn
from rtelasto.telemetry.latency import LatencySummary


def test_linear_cost_has_exponent_one() -> None:
    linear = {size: 1e-4 * size[0] * size[1] for size in scaling.SIZES}
    assert scaling.exponent(linear) == pytest.approx(1.0)
    assert "Time ∝ pixels^1.00." in scaling.table(linear)
    square = {size: time**2 for size, time in linear.items()}
    assert scaling.exponent(square) == pytest.approx(2.0)


def test_peers_are_set_beside_the_default_engine() -> None:
    table = compare.table(
        {
            "cnn": {"about": "own", "median_ms": 20.0},
            "slow": {"about": "other", "median_ms": 50.0},
            "absent": {"about": "third", "skipped": "not installed: nothing"},
        }
    )
    assert "| slow | 50 | 2.5 | other |" in table
    assert "| absent | – | – | third; not installed: nothing |" in table


def test_a_peer_without_its_packages_is_skipped_by_name() -> None:
    peer = Peer("needs what nobody has", lambda pre, post, threads: lambda: None, ("no_such_one",))
    assert compare.missing(peer) == ["no_such_one"]
    assert compare.missing(compare.PEERS["cnn"]) == []


@pytest.mark.slow
def test_the_default_engine_is_timed_in_a_process_of_its_own() -> None:
    row = compare.compare_peers(["cnn"], runs=1, threads=1)["cnn"]
    assert row["runs"] == 1
    assert 0.0 < row["median_ms"] == row["max_ms"]  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("name", optical_flow.PEERS)
def test_optical_flow_runs_on_rf(name: str) -> None:
    peer = optical_flow.PEERS[name]
    for package in peer.needs:
        pytest.importorskip(package)
    rng = np.random.default_rng(0)
    pre = np.cumsum(rng.normal(0.0, 100.0, (32, 256)), axis=1).astype(np.int16)
    strain = peer.prepare(pre, np.roll(pre, 1, axis=1), 1)()
    assert strain.shape == pre.shape
    assert np.isfinite(strain).all()


def test_the_slope_of_the_flow_is_strain() -> None:
    displacement = np.tile(0.01 * np.arange(400.0), (3, 1))
    inner = optical_flow._slope(displacement)[:, 80:-80]
    np.testing.assert_allclose(inner, 0.01, rtol=1e-6)


@pytest.mark.slow
def test_the_encoder_decoder_has_the_size_it_stands_for() -> None:
    pytest.importorskip("torch")
    network = encoder_decoder._network()
    assert [block.enter[0].out_channels for block in network.down] == [16, 32, 64, 128]
    frames = np.random.default_rng(0).integers(-99, 99, (2, 32, 64)).astype(np.int16)
    strain = encoder_decoder.PEERS["usenet-sized"].prepare(*frames, 1)()
    assert strain.shape == (32, 64)


def test_the_report_counts_all_but_the_engine() -> None:
    stages = {
        "end to end": LatencySummary.of([9e6]),
        "wire in": LatencySummary.of([1e6]),
        "queue": LatencySummary.of([2e6]),
        "engine": LatencySummary.of([4e6]),
        "quality": LatencySummary.of([2e6]),
    }
    assert report.around_engine_ms(stages) == pytest.approx(3.0)
    assert report.README.read_text("utf-8").count("<!-- measured: begin -->") == 1
    assert report.README.read_text("utf-8").count("<!-- measured: end -->") == 1


@pytest.mark.slow
def test_the_published_network_says_what_all_its_patches_would_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(published_cnn, "_SAMPLED", 64)
    monkeypatch.setattr(published_cnn, "_PATCHES_AT_A_TIME", 32)
    frames = np.random.default_rng(0).integers(-99, 99, (2, 32, 256)).astype(np.int16)
    seconds = published_cnn.PEERS["published cnn"].prepare(*frames, 1)()
    assert seconds > 0.0


@pytest.mark.parametrize("kind", recording.kinds())
def test_the_frames_of_the_recording_benchmark_are_written_and_removed(
    tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("hdf5plugin", reason="the record extra is not installed")
    found = recording.measure(tmp_path, kind, n_frames=2, fsync=True)
    assert min(found.frames_s, found.mb_s, found.smaller_by) > 0.0
    assert not list(tmp_path.iterdir())
