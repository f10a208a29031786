"""Small recordings for tests of archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from speckle import SMALL_FORMAT, small_press

from rtelasto.frames.rf import RfFrame
from rtelasto.frames.stamp import FrameStamp
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
