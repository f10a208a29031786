"""The estimated centre frequency, against echoes made with a known one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from speckle import speckle_pair

import rtelasto
from rtelasto.cpu.spectrum import estimate_center_freq_hz
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.strain import Elongation
from rtelasto.offline.html_report import report_page
from rtelasto.offline.process import process_recording
from rtelasto.pipeline.echo_centre import EchoCentre
from rtelasto.settings import EstimateSettings
from rtelasto.sources.recording import Recording
from rtelasto.sources.strain_file import StrainFile

FS = 40e6


def echo(center_freq_hz: float, *, snr_db: float = 40.0, bandwidth: float = 0.5) -> np.ndarray:
    """Speckle: white scatterers through a Gaussian pulse of the given -6 dB fractional bandwidth."""
    rng = np.random.default_rng(7)
    lines = rng.standard_normal((64, 2000))
    frequency = np.fft.rfftfreq(2000, 1 / FS)
    sigma = bandwidth * center_freq_hz / (2 * np.sqrt(2 * np.log(2) / 1))
    pulse = np.exp(-0.5 * ((frequency - center_freq_hz) / sigma) ** 2)
    rf = np.fft.irfft(np.fft.rfft(lines, axis=1) * pulse, 2000, axis=1)
    noise = rng.standard_normal(rf.shape) * rf.std() * 10 ** (-snr_db / 20)
    return rf + noise


@pytest.mark.parametrize("center_freq_hz", [2e6, 5e6, 9e6, 14e6])
@pytest.mark.parametrize("snr_db", [40.0, 10.0])
def test_centre_of_a_known_pulse_is_found_within_two_percent(center_freq_hz, snr_db):
    found = estimate_center_freq_hz([echo(center_freq_hz, snr_db=snr_db)], sampling_freq_hz=FS)
    assert found == pytest.approx(center_freq_hz, rel=0.02)


def test_offset_scale_and_type_do_not_matter():
    rf = echo(6e6)
    counts = np.round(rf / np.abs(rf).max() * 8000 + 500).astype(np.int16)
    from_float = estimate_center_freq_hz([rf], sampling_freq_hz=FS)
    from_counts = estimate_center_freq_hz([counts, counts], sampling_freq_hz=FS)
    assert from_counts == pytest.approx(from_float, rel=1e-3)


def test_lines_that_are_not_finite_are_left_out():
    rf = echo(6e6)
    damaged = rf.copy()
    damaged[3, 100], damaged[9, 5] = np.nan, np.inf
    good = np.delete(rf, [3, 9], axis=0)
    assert estimate_center_freq_hz([damaged], sampling_freq_hz=FS) == pytest.approx(
        estimate_center_freq_hz([good], sampling_freq_hz=FS)
    )


@pytest.mark.parametrize(
    "frame",
    [np.zeros((8, 500)), np.full((8, 500), 37), np.full((8, 500), np.nan), np.ones((8, 4))],
)
def test_without_an_echo_there_is_no_estimate(frame):
    assert estimate_center_freq_hz([frame], sampling_freq_hz=FS) is None


def test_forearm_recordings_lie_in_the_band_of_their_probe(shared_data):
    path = shared_data("deepuse_forearm/rf0300_25.raw")
    frames = np.fromfile(path, "<f4").reshape(6, 2000, 128).transpose(0, 2, 1)
    found = estimate_center_freq_hz(frames, sampling_freq_hz=38.5e6)
    assert 4.0e6 < found < 4.8e6


def frame_said_to_be_at(center_freq_hz: float, samples: np.ndarray) -> RfFrame:
    n_lines, n_samples = samples.shape
    return RfFrame(
        samples.astype(np.float32),
        RfFormat(
            n_lines=n_lines,
            n_samples=n_samples,
            sampling_freq_hz=FS,
            center_freq_hz=center_freq_hz,
            line_pitch_m=3e-4,
        ),
    )


@pytest.mark.parametrize(("said_hz", "warns"), [(6e6, 0), (6.6e6, 0), (4.5e6, 1), (8e6, 1)])
def test_a_wrong_centre_frequency_is_replaced_by_the_echos_and_said_once(caplog, said_hz, warns):
    used = EchoCentre()
    frame = frame_said_to_be_at(said_hz, echo(6e6))
    for _ in range(3):
        found = used(frame)
        assert found.samples is frame.samples
        assert (found is frame) == (not warns)
        if warns:
            assert found.format.center_freq_hz == pytest.approx(6e6, rel=0.03)
        assert used(found) is found
    assert used.differs == bool(warns)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == warns
    for message in messages:
        assert f"{said_hz / 1e6:.2f} MHz" in message
        assert "centred at 6.0" in message or "centred at 5.9" in message
    used(frame_said_to_be_at(3e6, echo(6e6)))
    assert len(caplog.records) == warns + 1


@pytest.mark.parametrize("first", ["silence", "noise", "nan"])
def test_frames_without_an_echo_say_nothing_about_the_frequency(caplog, first):
    rng = np.random.default_rng(8)
    samples = np.zeros((8, 500)) if first == "silence" else rng.standard_normal((8, 2000))
    if first == "nan":
        samples[:, ::100] = np.nan
    used = EchoCentre()
    before = frame_said_to_be_at(4e6, samples)
    assert used(before) is before
    assert not caplog.records
    # The first one that has an echo is checked.
    used(frame_said_to_be_at(4e6, np.resize(echo(6e6), samples.shape)))
    assert len(caplog.records) == 1
    assert used.decided
    # From now on all frames have one format.
    assert used(before).format.center_freq_hz == pytest.approx(6e6, rel=0.03)


@pytest.mark.parametrize("size", [10.0, 100.0])
def test_ringing_of_the_transducer_does_not_change_the_frequency(caplog, size):
    rf = echo(6e6)
    ringing = size * rf.std() * np.exp(-np.arange(rf.shape[1]) / 100.0)
    frame = frame_said_to_be_at(6e6, rf + ringing)
    assert EchoCentre()(frame) is frame
    assert not caplog.records


def test_a_stream_of_noise_is_not_waited_for_for_ever():
    used = EchoCentre()
    noise = frame_said_to_be_at(4e6, np.random.default_rng(9).standard_normal((8, 500)))
    decided = []
    for _ in range(80):
        used(noise)
        decided.append(used.decided)
    assert not decided[0]
    assert decided[-1]


def test_interference_is_said_and_not_used_and_the_echo_is_waited_for(caplog):
    tone = np.sin(2.0 * np.pi * 18e6 / FS * np.arange(2000)) * np.ones((64, 1))
    used = EchoCentre()
    frame = frame_said_to_be_at(6e6, tone)
    assert used(frame) is frame
    assert not used.differs
    (message,) = [record.getMessage() for record in caplog.records]
    assert "18.00 MHz" in message
    assert "used" not in message
    assert not used.decided
    right = frame_said_to_be_at(6e6, echo(6e6))
    assert used(right) is right
    assert used.decided
    assert len(caplog.records) == 1


def saved(folder: Path, frames: np.ndarray, rf_format: RfFormat) -> Recording:
    np.save(folder / "frames.npy", frames)
    return rtelasto.open_recording(
        folder / "frames.npy",
        sampling_freq_hz=rf_format.sampling_freq_hz,
        center_freq_hz=rf_format.center_freq_hz,
        line_pitch_m=rf_format.line_pitch_m,
        frame_rate_hz=50.0,
        axes="frame,line,sample",
    )


@pytest.mark.parametrize("n_noise", [0, 20])
def test_a_recording_is_decided_on_by_its_first_echo(tmp_path, n_noise):
    rng = np.random.default_rng(9)
    noise = rng.standard_normal((n_noise, 64, 2000)).astype(np.float32)
    echoes = np.stack([echo(6e6), echo(6.4e6)]).astype(np.float32)
    said = frame_said_to_be_at(4e6, echoes[0]).format
    with saved(tmp_path, np.concatenate([noise, echoes]), said) as recording:
        used = EchoCentre()
        found = used.look_ahead(recording)
        assert found.center_freq_hz == pytest.approx(6e6, rel=0.02)
        assert all(used(frame).format == found for frame in recording)


def test_a_recording_without_an_echo_keeps_its_format(tmp_path):
    noise = np.random.default_rng(9).standard_normal((3, 64, 2000)).astype(np.float32)
    said = frame_said_to_be_at(4e6, noise[0]).format
    with saved(tmp_path, noise, said) as recording:
        assert EchoCentre().look_ahead(recording) == recording.format == said


def test_formats_that_alternate_are_each_said_once(caplog):
    used = EchoCentre()
    for _ in range(3):
        for said_hz in (3e6, 4e6):
            used(frame_said_to_be_at(said_hz, echo(6e6)))
    assert len(caplog.records) == 2


def press_after_noise(n_noise: int, n_presses: int = 1) -> tuple[np.ndarray, RfFormat, float]:
    """Frames of noise, then pairs of a press; their format, and the strain."""
    motion = Elongation(0.02e-3, 0.0, -0.006)
    pair = speckle_pair(np.random.default_rng(3), elongation=motion, snr_db=25)
    shape = (n_noise, *pair.pre.samples.shape)
    noise = np.random.default_rng(4).integers(-99, 99, shape)
    press = np.stack([pair.pre.samples, pair.post.samples])
    frames = np.concatenate([noise, *[press] * n_presses])
    return frames.astype(np.int16), pair.pre.format, motion.axial_slope


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_noise", "pair", "accumulate", "reference"),
    [
        (2, "consecutive", False, None),
        (2, "consecutive", True, None),
        (4, "lag 3", True, 5),
    ],
)
def test_a_stream_with_a_wrong_frequency_has_the_strain_of_the_right_one(
    caplog, n_noise, pair, accumulate, reference
):
    frames, right, strain = press_after_noise(n_noise, 3)
    wrong = dataclasses.replace(right, center_freq_hz=1.67 * right.center_freq_hz)
    errors = {}
    for rf_format in (right, wrong):
        *_, last = rtelasto.stream(
            frames,
            rf_format,
            pair=pair,
            persistence_s=0.0,
            accumulate=accumulate,
            reference=reference,
        )
        error = last.axial_strain[8:-8, 40:-40] - strain
        errors[rf_format] = float(np.sqrt(np.mean(np.square(error))))
    assert errors[wrong] < 1.3 * errors[right] + 1e-5
    assert len(caplog.records) == 1


@pytest.mark.slow
def test_a_recording_with_a_wrong_frequency_has_one_grid_and_states_both(tmp_path):
    frames, right, _ = press_after_noise(3)
    wrong = dataclasses.replace(right, center_freq_hz=1.67 * right.center_freq_hz)
    with saved(tmp_path, frames, wrong) as recording:
        settings = EstimateSettings(pair="consecutive", persistence_s=0.0)
        summary = process_recording(recording, tmp_path / "strain.h5", settings)
        page = report_page(recording, tmp_path / "strain.h5", settings, summary)
    assert "10.4 MHz given, 6.3 MHz found and used" in page
    with StrainFile(tmp_path / "strain.h5") as strain:
        assert strain.n_frames == 4
        assert strain.center_freq_given_hz == wrong.center_freq_hz
        assert strain.center_freq_hz == pytest.approx(right.center_freq_hz, rel=0.06)
        step_m = 4.0 * right.wavelength_m / 12.8
        assert strain.grid.axial_step_m == pytest.approx(step_m, rel=0.06)
    with h5py.File(tmp_path / "strain.h5") as strain:
        custom = strain["custom"]
        used_hz = custom["rf_format/center_freq_hz"][()]
        assert used_hz == pytest.approx(right.center_freq_hz, rel=0.06)
        assert custom["provenance/center_freq_given_hz"][()] == wrong.center_freq_hz
