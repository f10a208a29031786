"""The CPU runtimes: the same numbers from each, and plain words where one cannot be used."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from speckle import speckle_pair

from rtelasto.cpu.network.runtimes import RUNTIMES, usable_runtimes
from rtelasto.cpu.stretch import Stretch
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.strain import Elongation, StretchedPair
from rtelasto.pipeline.engines import open_engine
from rtelasto.settings import RunSettings

FORMAT = RfFormat(
    n_lines=40, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="openvino is not installed: pip install '.[openvino]'"
)


def stretched(rf_format: RfFormat = FORMAT) -> StretchedPair:
    depth_m = rf_format.n_samples * rf_format.axial_step_m

    def stiff_band(lateral_m: np.ndarray, z_m: np.ndarray) -> np.ndarray:
        return 0.006 * np.clip(z_m - depth_m / 3, 0.0, depth_m / 3)

    pair = speckle_pair(
        np.random.default_rng(4),
        rf_format=rf_format,
        elongation=Elongation(axial_slope=-0.01),
        local_displacement_m=stiff_band,
    )
    return Stretch()(pair)


@pytest.mark.slow
@needs_openvino
def test_openvino_gives_the_numbers_of_onnxruntime() -> None:
    reference, other = open_engine("cnn"), open_engine("cnn", runtime="openvino")
    # Sizes come and go, and more of them than are kept compiled.
    for n_samples in (1200, 900, 1001, 1200):
        pair = stretched(
            RfFormat(
                n_lines=40,
                n_samples=n_samples,
                sampling_freq_hz=40e6,
                center_freq_hz=6.25e6,
                line_pitch_m=2e-4,
            )
        )
        expected, found = reference.estimate(pair), other.estimate(pair)
        assert found.grid == expected.grid
        step_m = pair.grid.axial_step_m
        difference = found.axial_displacement_m - expected.axial_displacement_m
        assert np.abs(difference).max() < 1e-3 * step_m
        assert np.abs(found.axial_strain - expected.axial_strain).max() < 1e-5


@needs_openvino
def test_results_are_the_callers_to_keep() -> None:
    engine = open_engine("cnn", runtime="openvino")
    first = engine.estimate(stretched())
    kept = first.axial_strain.copy()
    pair = stretched()
    engine.estimate(StretchedPair(pair.post, pair.pre, pair.grid, pair.elongation, 6.4))
    np.testing.assert_array_equal(first.axial_strain, kept)


@needs_openvino
@pytest.mark.skipif(
    bool(usable_runtimes()["openvino-bf16"]), reason="this processor has no bfloat16 arithmetic"
)
def test_bf16_comes_near_and_is_not_the_default() -> None:
    pair = stretched()
    expected = open_engine("cnn").estimate(pair).axial_strain
    found = open_engine("cnn", runtime="openvino-bf16").estimate(pair).axial_strain
    rms = float(np.sqrt(np.mean(np.square(found - expected))))
    assert 0.0 < rms < 1e-3
    assert RunSettings().cpu_runtime == "onnxruntime"


def test_a_runtime_is_named_or_refused() -> None:
    assert tuple(usable_runtimes()) == RUNTIMES
    assert usable_runtimes()["onnxruntime"] == ""
    for refuse in (
        lambda: RunSettings(cpu_runtime="tpu"),
        lambda: open_engine("cnn", runtime="tpu"),
    ):
        with pytest.raises(RtelastoError, match=r"cpu_runtime must be one of onnxruntime.*'tpu'"):
            refuse()


def test_without_openvino_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['openvino'] = None\n"
        "from rtelasto.cpu.network.runtimes import usable_runtimes\n"
        "from rtelasto.pipeline.engines import open_engine\n"
        "print(usable_runtimes()['openvino'])\n"
        "open_engine('cnn', runtime='openvino')"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "rtelasto[openvino]" in result.stdout
    assert "rtelasto[openvino]" in result.stderr.splitlines()[-1]
