"""Frames per second that the recorder's writer puts on a disk, by kind of data.

    python -m benchmarks.recording FOLDER

FOLDER lies on the disk in question. The frames are echoes of random tissue with an exponential decay in
depth and the noise of a receiver, and so compress like a scanner's. What is timed is what the thread of
`record` does: compression, HDF5, files of a second each, with ``--fsync`` the flush of each. Receiving and
decoding run on another thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, lfilter

from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.iq import IqFormat, ScannerFormat, scanner_frame
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.stamp import FrameStamp
from rtelasto.sinks.scanner_writers import frame_writer
from rtelasto.sinks.segment_writer import Segments
from rtelasto.sinks.zea_file import blosc_packing
from rtelasto.telemetry.counters import Counters

FC_HZ = 7.8125e6
PITCH_M = 0.2e-3
_DIFFERENT = 8
_HEADER = bytes(400)


def kinds() -> dict[str, tuple[ScannerFormat, tuple[int, ...], type]]:
    """Format, shape and type of the frames, by name."""
    physics = {"sampling_freq_hz": 4 * FC_HZ, "center_freq_hz": FC_HZ}
    channels = ChannelFormat(
        n_acquisitions=3, n_channels=128, n_samples=2048, element_pitch_m=PITCH_M, **physics
    )
    lines = RfFormat(n_lines=128, n_samples=2608, line_pitch_m=PITCH_M, **physics)
    pixels = IqFormat(
        n_lines=128,
        n_samples=512,
        line_pitch_m=PITCH_M,
        demodulation_freq_hz=FC_HZ,
        sampling_freq_hz=2 * FC_HZ,
        center_freq_hz=FC_HZ,
    )
    return {
        "RF lines, 2608 × 128 int16": (lines, (128, 2608), np.int16),
        "channel data, 3 × 128 × 2048 int16": (channels, channels.shape, np.int16),
        "IQ, 512 × 128 complex64": (pixels, (128, 512), np.complex64),
    }


def echoes(shape: tuple[int, ...], dtype: type, seed: int) -> NDArray[np.generic]:
    """A frame of echoes, of at most some 10,000 near the probe and 100 in the depth, and noise of 3."""
    rng = np.random.default_rng(seed)
    band = firwin(33, (0.35, 0.65), pass_zero=False)
    decay = 3000.0 * np.exp(-np.linspace(0.0, 5.0, shape[-1]))
    parts = [lfilter(band, 1.0, rng.normal(0.0, 1.8, shape)) * decay for _ in range(2)]
    noisy = [part + rng.normal(0.0, 3.0, shape) for part in parts]
    if dtype is np.complex64:
        return (noisy[0] + 1j * noisy[1]).astype(dtype)
    return np.rint(noisy[0]).astype(dtype)


@dataclass(frozen=True)
class Writing:
    """What writing took: frames and MB that came in by the second, processor time, and how many times smaller
    the files are."""

    frames_s: float
    mb_s: float
    processor_ms: float
    smaller_by: float


def measure(folder: Path, kind: str, *, n_frames: int, fsync: bool) -> Writing:
    """Write that many frames of a kind into segments in the folder, which are then removed."""
    scanner_format, shape, dtype = kinds()[kind]
    made = [echoes(shape, dtype, seed) for seed in range(min(_DIFFERENT, n_frames))]
    packing, counters = blosc_packing(), Counters()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        segments = Segments(
            Path(place),
            "rf",
            lambda path, frame: frame_writer(path, frame, provenance={}, packing=packing),
            lambda frame: frame.format,
            counters,
            fsync=fsync,
        )
        started, busy = time.perf_counter(), time.process_time()
        for i in range(n_frames):
            frame = scanner_frame(made[i % len(made)], scanner_format, FrameStamp(i, 1 + i))
            segments.write(frame, header=_HEADER)
        segments.finish()
        took_s, busy_s = time.perf_counter() - started, time.process_time() - busy
        assert counters["rf.recorded"] == n_frames, counters.snapshot()
        stored = sum(path.stat().st_size for path in Path(place).iterdir())
    came = n_frames * made[0].nbytes
    return Writing(n_frames / took_s, came / took_s / 1e6, 1e3 * busy_s / n_frames, came / stored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    given = parser.parse_args()
    print("| frame | --fsync | frames/s | MB/s in | processor ms | smaller by |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for kind in kinds():
        for fsync in (False, True):
            found = measure(given.folder, kind, n_frames=given.frames, fsync=fsync)
            print(
                f"| {kind} | {'yes' if fsync else 'no'} | {found.frames_s:.0f} | {found.mb_s:.0f} | "
                f"{found.processor_ms:.1f} | {found.smaller_by:.2f} |"
            )


if __name__ == "__main__":
    main()
