"""Apodisation: the usual windows are SciPy's, and need no import of scipy.signal."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import get_window

from rtelasto.cpu.beamforming.beamform_settings import (
    USUAL_WINDOWS,
    WINDOW_POINTS,
    BeamformSettings,
)
from rtelasto.errors import RtelastoError


@pytest.mark.parametrize("window", [*USUAL_WINDOWS, "blackman"])
def test_a_window_is_that_of_scipy_from_the_middle_to_the_edge(window: str) -> None:
    got = BeamformSettings(window=window).half_window()
    wanted = get_window(window, 2 * WINDOW_POINTS + 1, fftbins=False)[WINDOW_POINTS:]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, atol=1e-7)


def test_a_window_that_scipy_does_not_know_is_named() -> None:
    with pytest.raises(RtelastoError, match="window 'hat'"):
        BeamformSettings(window="hat")


def test_the_first_frame_of_a_live_run_does_not_wait_for_scipy_signal() -> None:
    code = (
        "import sys; from rtelasto.bench.channel import channel_format; "
        "from rtelasto.cpu.beamform import Beamformer; import rtelasto.live.run; "
        "Beamformer(channel_format(3, 256)); print('scipy.signal' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
