"""Time from channel data and IQ pixels to RF lines, by angles, depth and cores, for ``bench --channel``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.frames.channel import ChannelFormat, PlaneWave
from rtelasto.frames.iq import IqFormat
from rtelasto.gpu.beamform import GpuBeamformer
from rtelasto.host.threads import available_cores, check_threads, kernel_threads, limit_threads
from rtelasto.telemetry.latency import LatencySummary

N_CHANNELS = 128
ANGLES = (1, 3, 5)
# Of four a period: lines down to 41, 51 and 76 mm.
SAMPLES = (1664, 2048, 3072)
_CENTER_FREQ_HZ = 7.8125e6
_PITCH_M = 0.1979e-3
_LARGEST_ANGLE_RAD = math.radians(8.0)
_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class ConversionTimes:
    """How long one kind of frame takes to become RF lines.

    Attributes
    ----------
    kind
        "channel" or "iq".
    n_angles, n_samples
        Plane waves (0 for IQ), and samples of a channel or a line.
    cores
        How many the kernels might use.
    times
        Of the frames that were timed.
    processor_ms
        Median processor time of a frame, of all cores together: what other work on the machine makes the
        kernels wait is not in it.
    """

    kind: str
    n_angles: int
    n_samples: int
    cores: int
    times: LatencySummary
    processor_ms: float

    @property
    def fps(self) -> float:
        """Frames per second at the median time."""
        return 1e3 / self.times.p50_ms


def channel_format(n_angles: int, n_samples: int) -> ChannelFormat:
    """Plane waves of an L12-5 38 mm, four samples a period on 128 channels."""
    angles = np.linspace(-_LARGEST_ANGLE_RAD, _LARGEST_ANGLE_RAD, n_angles) if n_angles > 1 else [0]
    half_m = 0.5 * (N_CHANNELS - 1) * _PITCH_M
    waves = tuple(
        PlaneWave(float(angle), half_m * abs(math.sin(angle)) / 1540.0) for angle in angles
    )
    return ChannelFormat(
        n_acquisitions=n_angles,
        n_channels=N_CHANNELS,
        n_samples=n_samples,
        sampling_freq_hz=4.0 * _CENTER_FREQ_HZ,
        center_freq_hz=_CENTER_FREQ_HZ,
        element_pitch_m=_PITCH_M,
        start_time_s=4.0 / _CENTER_FREQ_HZ,
        transmits=waves,
    )


def iq_format(n_samples: int) -> IqFormat:
    """Pixels half a wavelength apart that make so many RF samples a line, 128 lines."""
    return IqFormat(
        n_lines=N_CHANNELS,
        n_samples=n_samples // 4,
        sampling_freq_hz=_CENTER_FREQ_HZ,
        demodulation_freq_hz=_CENTER_FREQ_HZ,
        center_freq_hz=_CENTER_FREQ_HZ,
        line_pitch_m=_PITCH_M,
    )


def time_channel(
    *,
    frames: int = 50,
    threads: int | None = None,
    on_gpu: bool = False,
    angles: tuple[int, ...] = ANGLES,
    samples: tuple[int, ...] = SAMPLES,
) -> list[ConversionTimes]:
    """Times of ``frames`` frames of noise of every kind, after two that warm up.

    Channel data of every number of angles and samples, and IQ pixels of every number of samples: on one
    core and on ``threads`` of them (None: all). The cases take turns frame by frame, so that whatever
    else runs on the machine slows all of them alike. With ``on_gpu`` channel data go to the GPU.
    """
    check_threads(threads)
    cases: list[tuple[str, int, int, Callable[[NDArray[Any]], Any], NDArray[Any]]] = []
    rng = np.random.default_rng(3)
    for n_samples in samples:
        for n_angles in angles:
            channels = channel_format(n_angles, n_samples)
            beamform = GpuBeamformer(channels) if on_gpu else Beamformer(channels)
            data = rng.integers(-500, 500, channels.shape).astype(np.int16)
            cases.append(("channel", n_angles, n_samples, beamform, data))
        pixels = iq_format(n_samples)
        iq = rng.normal(size=(pixels.n_lines, pixels.n_samples, 2)).astype(np.float32)
        cases.append(("iq", 0, n_samples, Remodulator(pixels), iq.view(np.complex64)[..., 0]))
    counts = sorted({1, threads or available_cores()})
    times_ns: dict[tuple[int, int], list[int]] = {}
    processor_ns: dict[tuple[int, int], list[int]] = {}
    with _threads_as_before():
        for index in range(frames + _WARM_UP):
            for cores in counts:
                limit_threads(cores)
                for n, (_, _, _, convert, data) in enumerate(cases):
                    started, used = time.perf_counter_ns(), time.process_time_ns()
                    convert(data)
                    if index >= _WARM_UP:
                        times_ns.setdefault((n, cores), []).append(time.perf_counter_ns() - started)
                        processor_ns.setdefault((n, cores), []).append(
                            time.process_time_ns() - used
                        )
    return [
        ConversionTimes(
            kind,
            n_angles,
            n_samples,
            cores,
            LatencySummary.of(times_ns[n, cores]),
            float(np.median(processor_ns[n, cores])) / 1e6,
        )
        for n, (kind, n_angles, n_samples, _, _) in enumerate(cases)
        for cores in counts
    ]


@contextmanager
def _threads_as_before() -> Iterator[None]:
    before = kernel_threads()
    try:
        yield
    finally:
        limit_threads(before)
