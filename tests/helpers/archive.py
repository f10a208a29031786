"""Small recordings for tests of archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from speckle import speckle_pair

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation
from rtelasto.sinks.hdf5 import RecordingWriter

FORMAT = RfFormat(
    n_lines=32, n_samples=900, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
)


def write_recordings(folder: Path, count: int, *, n_frames: int = 5) -> list[Path]:
    """Write recordings ``scan-00.h5`` … of a press and its release, each of different noise."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = speckle_pair(
        np.random.default_rng(3),
        rf_format=FORMAT,
        elongation=Elongation(0.0, 0.0, -0.005),
        snr_db=30.0,
        dtype="float32",
    )
    states = (pair.pre.samples, pair.post.samples)
    paths = []
    for k in range(count):
        rng = np.random.default_rng(k)
        path = folder / f"scan-{k:02d}.h5"
        with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
            for i in range(n_frames):
                samples = states[i % 2]
                noise = 0.01 * samples.std() * rng.standard_normal(samples.shape, np.float32)
                writer.write(RfFrame(samples + noise, FORMAT, FrameStamp(frame_id=i)))
        paths.append(path)
    return paths
