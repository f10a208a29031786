"""UFF, the file format of the UltraSound ToolBox (USTB): channel data of plane waves, beamformed data.

The pyuff_ustb package reads everything but the samples. Those are read here, frame by frame, because the
package loads them whole.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.channel import ChannelFormat, PlaneWave
from rtelasto.sources.beamformed import beamformed_contents, refuse_overrides
from rtelasto.sources.contents import Contents, Overrides
from rtelasto.sources.hdf5_storage import check_storage
from rtelasto.sources.limits import MAX_CHANNEL_SAMPLES, MAX_VALUES
from rtelasto.sources.uff_beamformed import read_beamformed

_CHANNELS, _BEAMFORMED = "uff.channel_data", "uff.beamformed_data"
_STRAIGHT = 0.01  # largest distance of an element from an even line, in pitches


def is_uff(file: h5py.File) -> bool:
    """Whether one of the file's groups is a UFF object with data."""
    return any(_named(file, kind) is not None for kind in (_CHANNELS, _BEAMFORMED))


def read_uff(path: Path, overrides: Overrides) -> Contents:
    """Return the channel data of a UFF file, beamformed as they are read; or else its beamformed data.

    Raises
    ------
    MissingExtraError
        If pyuff_ustb is not installed.
    RtelastoError
        If channel data are not RF of plane waves on a linear array, or beamformed data not on a linear scan.
    """
    if importlib.util.find_spec("pyuff_ustb") is None:
        raise MissingExtraError(f"{path}: reading UFF", "uff")
    with h5py.File(path, "r", locking=False) as file:
        name = _named(file, _CHANNELS)
        if name is None:
            beamformed = str(_named(file, _BEAMFORMED))
            _check_members(file[beamformed])
    if name is None:
        return read_beamformed(path, beamformed, overrides)
    refuse_overrides(overrides)
    with h5py.File(path, "r", locking=False) as file:
        samples = file[f"{name}/data"]
        if not isinstance(samples, h5py.Dataset):
            raise RtelastoError(f"{name} holds IQ channel data: only RF is read from UFF")
        if samples.dtype.kind not in "iuf":
            raise RtelastoError(f"{name}/data holds {samples.dtype}: only real numbers are RF")
        _check_members(file[str(name)])
        shape = samples.shape
    if len(shape) not in (2, 3, 4):
        raise RtelastoError(f"{name}/data has {len(shape)} dimensions, 2 to 4 are expected")
    if math.prod(shape[-3:]) > MAX_CHANNEL_SAMPLES:
        raise RtelastoError(
            f"{name}/data {shape} has frames of more than {MAX_CHANNEL_SAMPLES} samples"
        )
    channel_format, frame_rate_hz = _describe(path, str(name), shape, overrides)
    file = h5py.File(path, "r", locking=False)
    try:
        frames = _Frames(file[f"{name}/data"], channel_format)
        times = None
        if frame_rate_hz:
            times = np.rint(np.arange(frames.n_frames) * (1e9 / frame_rate_hz)).astype(np.int64)
        return beamformed_contents(
            frames,
            timestamps_ns=times,
            provenance={"source_dataset": f"/{name}"},
            close=file.close,
        )
    except BaseException:
        file.close()
        raise


class _Frames:
    """Channel data stored as (frame, wave, channel, sample); leading axes of length 1 may be missing."""

    def __init__(self, samples: h5py.Dataset, channel_format: ChannelFormat) -> None:
        self._samples = samples
        self.n_frames = samples.shape[0] if samples.ndim == 4 else 1
        self.format = channel_format

    def read(self, i: int) -> np.ndarray:
        stored = self._samples[i] if self._samples.ndim == 4 else self._samples[()]
        return np.asarray(stored).reshape(self.format.shape)


def _named(file: h5py.File, wanted: str) -> str | None:
    """Return the name of the first group that is a UFF object of this class."""
    for name, item in file.items():
        kind = item.attrs.get("class") if isinstance(item, h5py.Group) else None
        if kind is not None and _text(kind) == wanted:
            return str(name)
    return None


def _check_members(group: h5py.Group) -> None:
    """Refuse members that are too large for the package, which loads all but the samples whole."""

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            check_storage(item)
            if name.split("/")[0] != "data" and (item.size > MAX_VALUES or item.dtype.kind == "O"):
                raise RtelastoError(f"{item.name} holds {item.dtype} {item.shape}: too large")

    group.visititems(visit)


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _is_plane(wave: Any) -> bool:
    from pyuff_ustb import Wavefront

    try:
        return bool(wave.wavefront == Wavefront.plane)
    except ValueError:
        # pyuff-ustb 3.0 looks the number up as an array, which the enumerations of Python 3.13 refuse.
        with wave._reader["wavefront"].read() as stored:
            return int(np.squeeze(stored)) == Wavefront.plane.value


def _describe(
    path: Path, name: str, shape: tuple[int, ...], overrides: Overrides
) -> tuple[ChannelFormat, float | None]:
    """Return the format of the channel data, and frames per second if the file gives its firing rate."""
    from pyuff_ustb import Uff

    found = Uff(str(path)).read(name)
    if found.modulation_frequency:
        raise RtelastoError(f"{name} holds IQ channel data: only RF is read from UFF")
    waves = found.sequence if isinstance(found.sequence, list) else [found.sequence]
    if not all(map(_is_plane, waves)):
        raise RtelastoError("its waves are not plane: only plane waves are beamformed from UFF")
    x_m = np.asarray(found.probe.x, np.float64).ravel()
    pitch_m = float(np.mean(np.diff(x_m))) if x_m.size > 1 else 0.0
    even_m = x_m.mean() + pitch_m * (np.arange(x_m.size) - 0.5 * (x_m.size - 1))
    if pitch_m <= 0.0 or np.abs(x_m - even_m).max() > _STRAIGHT * pitch_m or np.any(found.probe.z):
        raise RtelastoError("its probe is not a linear array with elements in even steps along x")
    center: Any = overrides.center_freq_hz
    if center is None and found.pulse is not None:
        center = found.pulse.center_frequency
    if center is None or np.size(center) != 1:
        raise RtelastoError("does not say the pulse's centre frequency: give --center-freq-hz")
    center_freq_hz = float(np.squeeze(center))
    c = float(overrides.sound_speed_m_s or found.sound_speed)
    middle_m = float(x_m.mean())
    rate = found.PRF
    frame_rate_hz = float(rate) / len(waves) if rate and np.isfinite(rate) else None
    channel_format = ChannelFormat(
        n_acquisitions=len(waves),
        n_channels=x_m.size,
        n_samples=shape[-1],
        sampling_freq_hz=float(found.sampling_frequency),
        center_freq_hz=center_freq_hz,
        element_pitch_m=pitch_m,
        start_time_s=float(found.initial_time),
        sound_speed_m_s=c,
        transmits=tuple(_plane_wave(wave, middle_m, c) for wave in waves),
    )
    return channel_format, frame_rate_hz


def _plane_wave(wave: Any, middle_m: float, c: float) -> PlaneWave:
    """Convert a wave. USTB counts time from when the wave passes x = 0, less the wave's delay."""
    angle_rad = float(wave.source.azimuth)
    return PlaneWave(angle_rad, middle_m * np.sin(angle_rad) / c - float(wave.delay or 0.0))
