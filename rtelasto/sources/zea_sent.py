"""Channel data and IQ as `rtelasto record` keeps them, in zea's layout, with their exact formats."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave
from rtelasto.frames.iq import IqFormat
from rtelasto.frames.rf import PHYSICS
from rtelasto.sources.beamformed import refuse_overrides
from rtelasto.sources.contents import Contents, Overrides
from rtelasto.sources.hdf5_storage import check_storage, numbers, scalar
from rtelasto.sources.limits import MAX_CHANNEL_SAMPLES
from rtelasto.sources.zea import read_custom

_CHANNEL, _IQ = "custom/channel_format", "custom/iq_format"
_DATA = "tracks/track_0/data"


def is_sent(file: h5py.File) -> bool:
    """Whether the file holds channel data or IQ that `rtelasto record` wrote."""
    return any(isinstance(file.get(name), h5py.Group) for name in (_CHANNEL, _IQ))


def read_sent(file: h5py.File, overrides: Overrides) -> Contents:
    """Read the frames as they were sent; `sent_frames.lines_made_of` makes RF lines of them.

    Raises
    ------
    RtelastoError
        If something is missing or impossible, or the user overrides what follows from the data.
    """
    channels = isinstance(file.get(_CHANNEL), h5py.Group)
    refuse_overrides(overrides, "channel data" if channels else "IQ")
    contents = _channel_data(file) if channels else _pixels(file)
    stated: Any = contents.sent_format
    given = {
        name: float(value)
        for name in ("center_freq_hz", "sound_speed_m_s")
        if (value := getattr(overrides, name)) is not None
    }
    contents.sent_format = replace(stated, **given)
    read_custom(file["custom"], contents)
    return contents


class _Turned:
    """Frames of a dataset, each turned to the order of axes in which it was sent."""

    def __init__(
        self,
        dataset: h5py.Dataset,
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        turn: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> None:
        self.shape = (dataset.shape[0], *frame_shape)
        self.dtype = dtype
        self._dataset = dataset
        self._turn = turn

    def __getitem__(self, place: tuple[int, ...]) -> NDArray[Any]:
        return self._turn(
            np.asarray(self._dataset[place[0]], self._dataset.dtype.newbyteorder("="))
        )


def _channel_data(file: h5py.File) -> Contents:
    raw = _stored(file, f"{_DATA}/raw_data", 5, ("i2", "f4"))
    _, n_acquisitions, n_samples, n_channels, _ = raw.shape
    said = file[_CHANNEL]
    plane = "angles_rad" in said
    aims, times_s, first_elements = (
        numbers(said.get(name), n_acquisitions).tolist()
        for name in ("angles_rad" if plane else "lines_m", "origin_times_s", "first_elements")
    )
    make: Callable[[float, float], PlaneWave | FocusedBeam] = PlaneWave if plane else FocusedBeam
    channels = ChannelFormat(
        n_acquisitions=n_acquisitions,
        n_channels=n_channels,
        n_samples=n_samples,
        n_elements=int(scalar(said.get("n_elements"))),
        transmits=tuple(make(aim, time) for aim, time in zip(aims, times_s, strict=True)),
        first_elements=tuple(first_elements),
        sampling=scalar(said.get("sampling")),
        **_numbers(
            said,
            "sampling_freq_hz",
            "center_freq_hz",
            "element_pitch_m",
            "start_time_s",
            "sound_speed_m_s",
        ),
    )
    turned = _Turned(raw, channels.shape, raw.dtype, lambda frame: frame[..., 0].transpose(0, 2, 1))
    return Contents(array=turned, sent_format=channels)


def _pixels(file: h5py.File) -> Contents:
    values = _stored(file, f"{_DATA}/beamformed_data/values", 4, ("f4",))
    _, n_samples, n_lines, n_parts = values.shape
    said = file[_IQ]
    pixels = IqFormat(
        n_lines=n_lines,
        n_samples=n_samples,
        carrier=scalar(said.get("carrier")),
        **_numbers(said, *PHYSICS, "demodulation_freq_hz"),
    )
    if n_parts != 2:
        raise RtelastoError(f"{values.name} has {n_parts} channels: IQ has 2")
    turned = _Turned(
        values,
        (n_lines, n_samples),
        np.dtype(np.complex64),
        lambda frame: frame.view(np.complex64)[..., 0].T,
    )
    return Contents(array=turned, sent_format=pixels)


def _stored(file: h5py.File, name: str, n_axes: int, types: tuple[str, ...]) -> h5py.Dataset:
    """Return the dataset of frames, checked."""
    dataset = file.get(name)
    check_storage(dataset)
    if dataset.ndim != n_axes or dataset.dtype.str[1:] not in types or 0 in dataset.shape:
        raise RtelastoError(
            f"{dataset.name} holds {dataset.dtype} {dataset.shape}, expected {n_axes} axes of "
            f"{' or '.join(types)}"
        )
    if math.prod(dataset.shape[1:]) > MAX_CHANNEL_SAMPLES:
        raise RtelastoError(
            f"{dataset.name} {dataset.shape} has more than {MAX_CHANNEL_SAMPLES} samples per frame"
        )
    return dataset


def _numbers(said: h5py.Group, *names: str) -> dict[str, float]:
    return {name: float(scalar(said.get(name))) for name in names}
