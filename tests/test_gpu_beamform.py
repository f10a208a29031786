"""Delay and sum on the GPU against the CPU; skipped where there is no GPU or no mach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from channel_echoes import pressed_tissue

from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave
from rtelasto.gpu.beamform import GpuBeamformer, mach_installed
from rtelasto.gpu.probe import find_gpu

PLANE: dict[str, Any] = {
    "n_acquisitions": 2,
    "transmits": (PlaneWave(-0.1, 1e-6), PlaneWave(0.1, 1e-6)),
}
FOCUSED: dict[str, Any] = {
    "n_acquisitions": 3,
    "transmits": tuple(FocusedBeam(x, 5e-7) for x in (-1e-3, 0.0, 1e-3)),
}


def channel_format(transmits: dict[str, Any]) -> ChannelFormat:
    return ChannelFormat(
        n_channels=32,
        n_samples=512,
        sampling_freq_hz=20e6,
        center_freq_hz=5e6,
        element_pitch_m=0.3e-3,
        start_time_s=4e-6,
        **transmits,
    )


@pytest.mark.parametrize("transmits", [PLANE, FOCUSED])
@pytest.mark.parametrize("window", ["hann", "boxcar", "tukey"])
def test_the_gpu_gives_the_lines_of_the_cpu(transmits: dict[str, Any], window: str) -> None:
    if not mach_installed():
        pytest.skip("mach is not installed: pip install 'rtelasto[mach]'")
    try:
        find_gpu()
    except RtelastoError as error:
        pytest.skip(str(error))
    channels = channel_format(transmits)
    data = pressed_tissue(channels, [0.0], n_targets=100)[0]
    settings = BeamformSettings(window=window)
    expected = Beamformer(channels, settings)(data)
    lines = GpuBeamformer(channels, settings)(data)
    np.testing.assert_allclose(lines, expected, atol=0.01 * np.abs(expected).max())


def test_without_mach_the_extra_is_named() -> None:
    if mach_installed():
        pytest.skip("mach is installed here")
    with pytest.raises(MissingExtraError, match=r"rtelasto\[mach\]"):
        GpuBeamformer(channel_format(PLANE))
