"""Short streams of frames that the decoder accepts, with formats that no scanner has."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

from fuzz.messages import Parts, message
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave
from rtelasto.frames.iq import IqFormat, ScannerFormat, scanner_frame
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.stamp import FrameStamp
from rtelasto.wire.rf import encode_rf

SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64, 200)
LONG = (*SIZES, 500, 1100)
COUNTS = (0, 1, 2, 31, 32, 33, 2**31, 2**62, 2**63 - 2, 2**63 - 1)


def stream(rng: Random) -> Iterator[Parts]:
    """Return two to four messages of one format, some with a fault, a gap or a clock step between them."""
    scanned = _format(rng)
    dtype = "<c8" if isinstance(scanned, IqFormat) else rng.choice(("<i2", "<f4"))
    shape = (
        scanned.shape
        if isinstance(scanned, ChannelFormat)
        else (scanned.n_lines, scanned.n_samples)
    )
    seq, frame_id = rng.choice(COUNTS), rng.choice(COUNTS)
    name, clock = rng.choice(("a", "b", "ä" * 64)), rng.choice(("monotonic", "unix", "x"))
    samples = np.random.default_rng(rng.getrandbits(32))
    for _ in range(rng.randint(2, 4)):
        frame = scanner_frame(
            _samples(shape, dtype, samples, rng),
            scanned,
            FrameStamp(min(frame_id, 2**63 - 1), rng.choice((0, 1, -(2**63), 2**63 - 1, 10**9))),
        )
        yield [
            bytes(part)
            for part in encode_rf(frame, stream=name, seq=min(seq, 2**63 - 1), clock=clock)
        ]
        step = rng.choice((1, 1, 1, 1, 1, 2, 0, -1, 40, 2**62))
        seq, frame_id = max(seq + step, 0), max(frame_id + step, 0)
        if rng.random() < 0.1:
            yield message("rf", rng)


def _samples(
    shape: tuple[int, ...], dtype: str, noise: np.random.Generator, rng: Random
) -> np.ndarray:
    scale = rng.choice((1.0, 1000.0, 1000.0, 30000.0))
    values = noise.normal(0.0, scale, shape)
    if dtype == "<i2":
        return np.clip(values, -32768, 32767).astype(dtype)
    values = (
        (values + 1j * noise.normal(0.0, scale, shape)).astype(dtype)
        if dtype == "<c8"
        else values.astype(dtype)
    )
    how = rng.random()
    if how < 0.1:
        values.reshape(-1)[noise.integers(values.size)] = rng.choice((np.nan, np.inf, -np.inf))
    elif how < 0.2:
        values *= np.float32(rng.choice((1e-38, 1e-30, 1e30, 3e33)))
    elif how < 0.25:
        values[...] = 0.0
    elif how < 0.3:  # an echo in one line only
        values[: shape[0] // 2] = 0.0
    return values


def _format(rng: Random) -> ScannerFormat:
    while True:
        try:
            return _any_format(rng)
        except RtelastoError:
            continue


def _any_format(rng: Random) -> ScannerFormat:
    center = rng.choice((1e5, 1e6, 6.25e6, 6.25e6, 1e8, 10 ** rng.uniform(5, 8)))
    per_wave = rng.choice((2.0, 2.5, 4.0, 6.4, 6.4, 10.0, 1000.0, 10 ** rng.uniform(-0.7, 4)))
    sampling = min(max(center * per_wave, 1e5), 1e9)
    pitch = rng.choice((1e-6, 2e-4, 2e-4, 1e-1))
    start = rng.choice((0.0, 0.0, 0.01, -0.5, 0.5))
    speed = rng.choice((300.0, 1540.0, 1540.0, 5000.0))
    kind = rng.random()
    if kind < 0.6:
        return RfFormat(
            n_lines=rng.choice(SIZES),
            n_samples=rng.choice(LONG),
            sampling_freq_hz=sampling,
            center_freq_hz=center,
            line_pitch_m=pitch,
            start_depth_m=start,
            sound_speed_m_s=speed,
        )
    if kind < 0.8:
        return IqFormat(
            n_lines=rng.choice(SIZES), n_samples=rng.choice(LONG), sampling_freq_hz=sampling,
            demodulation_freq_hz=rng.choice((center, 1e5, 1e8)), center_freq_hz=center, line_pitch_m=pitch,
            start_depth_m=start, sound_speed_m_s=speed, carrier=rng.choice(("removed", "kept")),
        )  # fmt: skip
    n = rng.choice((1, 2, 3))
    channels = rng.choice((1, 2, 8, 32))
    elements = channels + rng.choice((0, 0, 1, 16))
    time = rng.choice((0.0, 1e-6, -1e-6, 1e-2))
    transmits = tuple(
        PlaneWave(rng.choice((0.0, 0.1, -1.04)), time)
        if kind < 0.9
        else FocusedBeam(pitch * k + rng.choice((0.0, 0.5)), time)
        for k in range(n)
    )
    return ChannelFormat(
        n_acquisitions=n, n_channels=channels, n_samples=rng.choice(LONG), sampling_freq_hz=sampling,
        center_freq_hz=center, element_pitch_m=pitch, n_elements=elements,
        start_time_s=rng.choice((0.0, 1e-6, -1e-6, 1e-2, -1e-2)), sound_speed_m_s=speed,
        transmits=transmits, first_elements=(rng.randint(0, elements - channels),) * n,
        sampling=rng.choice(("uniform", "uniform", "quadrature")),
    )  # fmt: skip
