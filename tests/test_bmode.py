"""The live B-mode: the envelope at the strain's pixels, in steps of 0.25 dB."""

from __future__ import annotations

import numpy as np
import pytest

from rtelasto.bench.stages import timing_frames
from rtelasto.cpu.bmode import bmode_on_grid
from rtelasto.cpu.quality import bmode_db
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline

FORMAT = RfFormat(
    n_lines=8,
    n_samples=1600,
    sampling_freq_hz=40e6,
    center_freq_hz=6.25e6,
    line_pitch_m=2e-4,
    start_depth_m=3e-3,
)
# Of a stored value 0.25 dB a step, where 0 is 60 dB below it.
REFERENCE_VALUE = 240


def every_fourth(rf_format: RfFormat) -> Grid:
    return Grid(
        rf_format.n_lines,
        rf_format.n_samples // 4,
        4 * rf_format.axial_step_m,
        rf_format.line_pitch_m,
        rf_format.start_depth_m,
    )


def tone(amplitudes: np.ndarray) -> np.ndarray:
    """Echoes of the centre frequency, a constant amplitude a line."""
    phase = 2.0 * np.pi * np.arange(FORMAT.n_samples) / FORMAT.samples_per_wavelength
    return (amplitudes[:, None] * np.cos(phase)).astype(np.float32)


def test_levels_are_decibels_from_the_reference():
    # Two lines of eight are the reference; each of the others lies so much below.
    below_db = np.array([0.0, 0.0, 6.0, 12.0, 20.0, 40.0, 59.0, 80.0])
    image = bmode_on_grid(RfFrame(tone(10.0 ** (-below_db / 20.0)), FORMAT), every_fourth(FORMAT))
    middle = image[:, 20:-20].astype(float)
    expected = np.maximum(REFERENCE_VALUE - 4.0 * below_db, 0.0)
    np.testing.assert_allclose(middle, np.broadcast_to(expected[:, None], middle.shape), atol=1.0)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_an_offset_of_the_samples_does_not_show(dtype: type):
    echo = tone(np.full(8, 100.0)) + 110.0
    image = bmode_on_grid(RfFrame(echo.astype(dtype), FORMAT), every_fourth(FORMAT))
    assert np.abs(image[:, 20:-20].astype(int) - REFERENCE_VALUE).max() <= 2


def test_an_echo_shows_at_its_depth():
    samples = np.zeros((8, 1600), np.float32)
    offset = np.arange(-12, 13)
    pulse = np.exp(-((offset / 5.0) ** 2)) * np.cos(2 * np.pi * offset / 6.4)
    samples[3, 788:813] = pulse
    grid = every_fourth(FORMAT)
    image = bmode_on_grid(RfFrame(samples, FORMAT), grid)
    lines, rows = np.nonzero(image == 255)
    assert set(lines) == {3}
    assert grid.depth_m[rows].mean() == pytest.approx(
        FORMAT.start_depth_m + 800 * FORMAT.axial_step_m, abs=FORMAT.axial_step_m
    )


def test_it_agrees_with_the_analytic_signal_on_speckle():
    frame = timing_frames(
        RfFormat(
            n_lines=32,
            n_samples=1200,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=2e-4,
        )
    )[0]
    image = bmode_on_grid(frame, every_fourth(frame.format))[:, 20:-20]
    exact = bmode_db(frame.samples)[:, ::4][:, 20:-20]
    inside = (image > 0) & (image < 255)
    assert np.corrcoef(0.25 * image[inside], exact[inside])[0, 1] > 0.9


def test_silence_and_depths_beyond_the_frame_are_black():
    silent = RfFrame(np.zeros((8, 1600), np.int16), FORMAT)
    assert not bmode_on_grid(silent, every_fourth(FORMAT)).any()
    deep = Grid(8, 10, 1e-3, 2e-4, start_depth_m=0.2)
    assert not bmode_on_grid(RfFrame(tone(np.ones(8)), FORMAT), deep).any()
    with pytest.raises(ValueError, match="lines"):
        bmode_on_grid(silent, Grid(7, 10, 1e-3, 2e-4))


@pytest.mark.parametrize("wanted", [True, False])
def test_the_pipeline_adds_it_only_when_asked(wanted: bool):
    from rtelasto.cpu.classical.ncc import NccEngine
    from rtelasto.cpu.estimator import CpuEstimator

    frames = timing_frames(
        RfFormat(
            n_lines=16,
            n_samples=768,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=2e-4,
        )
    )
    pipeline = Pipeline(CpuEstimator(NccEngine()), PairPolicy(), bmode=wanted)
    assert pipeline.process(frames[0]) is None
    strain = pipeline.process(frames[1])
    assert strain is not None
    assert ("bmode" in strain.stage_ns) == wanted
    if wanted:
        np.testing.assert_array_equal(strain.bmode, bmode_on_grid(frames[0], strain.grid))
    else:
        assert strain.bmode is None
