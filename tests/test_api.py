"""The Python API: strain of two arrays, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from speckle import speckle_pair

import rtelasto
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.strain import Elongation

FORMAT = RfFormat(
    n_lines=40, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)


@pytest.mark.parametrize("engine", ["cnn", "ncc", "am"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_strain_of_a_uniform_press(engine: str, dtype: type) -> None:
    rng = np.random.default_rng(1)
    pair = speckle_pair(rng, rf_format=FORMAT, elongation=Elongation(axial_slope=-0.008))
    scale = 2000.0 / np.std(pair.pre.samples.astype(np.float64))
    pre, post = ((scale * frame.samples).astype(dtype) for frame in (pair.pre, pair.post))
    frame = rtelasto.estimate(pre, post, FORMAT, engine=engine)
    assert frame.axial_strain.shape == frame.correlation.shape == (40, 300)
    assert frame.axial_displacement_m.shape == frame.grid.shape
    assert frame.grid.depth_m.shape == (300,)
    assert frame.grid.lateral_m.shape == (40,)
    inner = (slice(5, -5), slice(30, -30))
    assert np.median(frame.axial_strain[inner]) == pytest.approx(-0.008, abs=4e-4)
    expected = -0.008 * frame.grid.depth_m[None, 30:-30]
    error_m = frame.axial_displacement_m[inner] - expected
    assert np.median(np.abs(error_m)) < 0.1 * FORMAT.axial_step_m
    assert frame.quality > 0.9


def test_one_engine_serves_many_calls_and_formats() -> None:
    rng = np.random.default_rng(2)
    for n_lines, n_samples in ((40, 1200), (33, 901), (40, 1200)):
        rf_format = RfFormat(
            n_lines=n_lines,
            n_samples=n_samples,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=2e-4,
        )
        pair = speckle_pair(rng, rf_format=rf_format, elongation=Elongation(axial_slope=-0.01))
        frame = rtelasto.estimate(pair.pre.samples, pair.post.samples, rf_format, engine="cnn")
        assert frame.axial_strain.shape == (n_lines, -(-n_samples // 4))
        assert np.median(frame.axial_strain) == pytest.approx(-0.01, abs=1e-3)


@pytest.mark.parametrize(
    ("pre", "message"),
    [
        (np.zeros((40, 1200)), "pre is constant"),
        (np.full((40, 1200), np.nan), "pre is nonfinite"),
        (np.zeros((1200, 40)), "pre: samples has shape"),
        (np.zeros((40, 1200), complex), "real"),
    ],
)
def test_frames_without_an_image_are_refused(pre: np.ndarray, message: str) -> None:
    with pytest.raises(RtelastoError, match=message):
        rtelasto.estimate(pre, np.ones((40, 1200)), FORMAT)


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    noise = np.random.default_rng(0).standard_normal((40, 1200))
    with pytest.raises(RtelastoError, match=r"cnn.*ncc.*'magic'"):
        rtelasto.estimate(noise, noise, FORMAT, engine="magic")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, rtelasto; rtelasto.RfFormat; "
        "print([m for m in ('numba', 'zmq', 'scipy', 'h5py', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
