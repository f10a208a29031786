"""Compiles in advance the kernels that commands would compile on first use."""

from __future__ import annotations

import numpy as np

from rtelasto.bench.stages import timing_frames
from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.cpu.bmode import bmode_on_grid
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.iq import IqFormat
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.pipeline.engines import engine_names, open_engine

# The types that scanners send and files contain; another type costs its first command a few seconds.
_SAMPLE_TYPES = (np.int16, np.uint16, np.int32, np.float32, np.float64)


def compile_everything(*, threads: int | None = None) -> None:
    """Compile every kernel that the engines, beamforming, IQ, B-mode and the simulator use.

    If compiled code is cached (`rtelasto.host.compiled`), later processes start at once; cached kernels are
    only loaded.
    """
    estimators = [CpuEstimator(open_engine(name, threads=threads)) for name in engine_names()]
    first, second, _ = timing_frames(
        RfFormat(
            n_lines=16,
            n_samples=1024,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=2e-4,
        )
    )
    for dtype in _SAMPLE_TYPES:
        pair = FramePair(_as(first, dtype), _as(second, dtype))
        for estimator in estimators:
            bmode_on_grid(pair.pre, estimator(pair).grid)
    _convert()


def _as(frame: RfFrame, dtype: type) -> RfFrame:
    return RfFrame(frame.samples.astype(dtype), frame.format, FrameStamp(frame.frame_id))


def _convert() -> None:
    """Compile the conversions of frames that are not yet RF lines."""
    pixels = IqFormat(
        n_lines=8,
        n_samples=64,
        sampling_freq_hz=6.25e6,
        demodulation_freq_hz=6.25e6,
        center_freq_hz=6.25e6,
        line_pitch_m=2e-4,
    )
    Remodulator(pixels)(np.ones((pixels.n_lines, pixels.n_samples), np.complex64))
    channels = ChannelFormat(
        n_acquisitions=1,
        n_channels=8,
        n_samples=256,
        sampling_freq_hz=25e6,
        center_freq_hz=6.25e6,
        element_pitch_m=2e-4,
    )
    beamform = Beamformer(channels)
    for dtype in (np.int16, np.float32):
        beamform(np.ones(channels.shape, dtype))
