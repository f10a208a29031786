"""Small recordings for tests of archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from speckle import SMALL_FORMAT, small_press, speckle_pair

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation
from rtelasto.sinks.hdf5 import RecordingWriter


def write_recordings(folder: Path, count: int, *, n_frames: int = 5) -> list[Path]:
    """Write recordings ``scan-00.h5`` … of a press and its release, each of different noise."""
    folder.mkdir(parents=True, exist_ok=True)
    states = small_press()
    paths = []
    for k in range(count):
        rng = np.random.default_rng(k)
        path = folder / f"scan-{k:02d}.h5"
        with RecordingWriter(path, SMALL_FORMAT, frame_rate_hz=20.0) as writer:
            for i in range(n_frames):
                samples = states[i % 2]
                noise = 0.01 * samples.std() * rng.standard_normal(samples.shape, np.float32)
                writer.write(RfFrame(samples + noise, SMALL_FORMAT, FrameStamp(frame_id=i)))
        paths.append(path)
    return paths


def write_palpation(path: Path, n_frames: int) -> Path:
    """Write a recording of small frames, 20 a second: irregular presses of up to 1.5 %, with noise."""
    rf_format = RfFormat(
        n_lines=16,
        n_samples=600,
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=0.3e-3,
    )
    times_s = np.arange(n_frames) / 20.0
    steps = np.rint(15.0 * (1.0 - np.cos(5.0 * times_s + np.sin(1.3 * times_s)))).astype(int)
    tissue = {
        step: speckle_pair(
            np.random.default_rng(3),
            rf_format=rf_format,
            elongation=Elongation(axial_slope=-5e-4 * step),
            dtype="float32",
        ).post.samples
        for step in sorted(set(steps.tolist()))
    }
    rng = np.random.default_rng(1)
    with RecordingWriter(path, rf_format, frame_rate_hz=20.0) as writer:
        for i, step in enumerate(steps.tolist()):
            noise = 0.1 * rng.standard_normal((16, 600), np.float32)
            writer.write(RfFrame(tissue[step] + noise, rf_format, FrameStamp(frame_id=i)))
    return path
