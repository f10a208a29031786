"""Verasonics recordings: a workspace saved with -v7.3, its receive buffer in it or in a .bin beside it.

The receive buffer holds the acquisitions of a frame below each other in rows, and its frames in a
ring. This reader uses the same fields of Trans, Resource, Receive, TX, TW and Event, with the same meaning,
as bridge/verasonics/rtelasto_channel_meta.m on the scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import (
    MAX_ACQUISITIONS,
    ChannelFormat,
    FocusedBeam,
    PlaneWave,
    Transmit,
)
from rtelasto.sources.beamformed import beamformed_contents, refuse_overrides
from rtelasto.sources.contents import Contents, Overrides
from rtelasto.sources.hdf5_storage import check_storage, numbers
from rtelasto.sources.limits import MAX_CHANNEL_SAMPLES
from rtelasto.sources.matlab_structs import MatStruct, cell

_SPEED_M_S = 1540.0
_PAIRED = ("BS100BW", "BS50BW")


def is_verasonics(file: h5py.File) -> bool:
    """Whether the file is a Verasonics workspace with channel data."""
    return all(isinstance(file.get(name), h5py.Group) for name in ("Trans", "Receive", "Resource"))


def read_verasonics(path: Path, file: h5py.File, overrides: Overrides) -> Contents:
    """Return the frames of receive buffer 1, oldest first, beamformed as they are read.

    Raises
    ------
    RtelastoError
        If something that is needed is missing or cannot be beamformed.
    """
    refuse_overrides(overrides)
    receive, resource = MatStruct(file, "Receive"), MatStruct(file, "Resource")
    scan = _scan(file, receive, resource, overrides)
    buffer = _buffer(path, file, resource)
    order = _ring_order(resource, buffer.shape[0])
    frames = _Frames(buffer, order, scan)
    notes = []
    if not isinstance(file.get("TX"), h5py.Group):
        notes.append(
            "no TX in the file: its one transmit is assumed to be a plane wave straight down"
        )
    contents = beamformed_contents(frames, provenance={"source_dataset": "RcvData"})
    contents.notes += notes
    if isinstance(buffer, np.memmap):
        contents.files = (path.with_suffix(".bin"),)
    return contents


@dataclass(frozen=True, slots=True)
class _Scan:
    """A format, and where its samples lie: first row and columns of each acquisition, from 0."""

    format: ChannelFormat
    first_rows: tuple[int, ...]
    columns: tuple[np.ndarray, ...]


class _Frames:
    """Frames of a receive buffer (frame, column, row), from the oldest to the newest."""

    def __init__(self, buffer: Any, order: np.ndarray, scan: _Scan) -> None:
        last = max(scan.first_rows) + scan.format.n_samples
        widest = max(int(columns.max()) for columns in scan.columns)
        if last > buffer.shape[2] or widest >= buffer.shape[1]:
            raise RtelastoError(
                f"the receive buffer holds {buffer.shape[2]} rows and {buffer.shape[1]} columns, "
                f"Receive and Trans need {last} and {widest + 1}"
            )
        self._buffer, self._order, self._scan = buffer, order, scan
        self.n_frames = len(order)
        self.format = scan.format

    def read(self, i: int) -> np.ndarray:
        stored = np.asarray(self._buffer[int(self._order[i])])
        n = self.format.n_samples
        return np.stack(
            [
                stored[columns, first : first + n]
                for first, columns in zip(self._scan.first_rows, self._scan.columns, strict=True)
            ]
        )


def _scan(file: h5py.File, receive: MatStruct, resource: MatStruct, overrides: Overrides) -> _Scan:
    trans = MatStruct(file, "Trans")
    parameters = resource.child("Parameters")
    stated = parameters.number("speedOfSound") if parameters is not None else None
    c = overrides.sound_speed_m_s or stated or _SPEED_M_S
    frequency_hz = 1e6 * _need(trans.number("frequency"), "Trans.frequency")
    acquisitions = _acquisitions(file, receive)
    first = acquisitions[0][0]
    starts = [
        int(_need(receive.number("startSample", r), "Receive.startSample")) for r, _ in acquisitions
    ]
    ends = [
        int(_need(receive.number("endSample", r), "Receive.endSample")) for r, _ in acquisitions
    ]
    lengths = {end - start + 1 for start, end in zip(starts, ends, strict=True)}
    if len(lengths) != 1 or min(starts) < 1:
        raise RtelastoError(
            f"its acquisitions are {', '.join(map(str, sorted(lengths)))} samples long: all of a frame "
            "must have the same length"
        )
    rate = _need(receive.number("decimSampleRate", first), "Receive.decimSampleRate")
    center = receive.number("demodFrequency", first)
    center_freq_hz = 1e6 * center if center else frequency_hz
    if isinstance(overrides.center_freq_hz, float | int):
        center_freq_hz = float(overrides.center_freq_hz)
    n_elements = int(_need(trans.number("numelements"), "Trans.numelements"))
    array = _Elements(n_elements, _pitch_m(trans, c, frequency_hz), frequency_hz, c)
    signals = [_signals(trans, receive.number("aperture", r), n_elements) for r, _ in acquisitions]
    elements = [np.flatnonzero(s) for s in signals]
    if any(e.size == 0 or np.any(np.diff(e) != 1) for e in elements):
        raise RtelastoError("the elements of an aperture must lie side by side")
    scanned = ChannelFormat(
        n_acquisitions=len(acquisitions),
        n_channels=elements[0].size,
        n_samples=lengths.pop(),
        sampling_freq_hz=1e6 * rate / (receive.number("quadDecim", first) or 1.0),
        center_freq_hz=center_freq_hz,
        element_pitch_m=array.pitch_m,
        n_elements=n_elements,
        start_time_s=_start_time_s(file, trans, receive.number("startDepth", first), c),
        sound_speed_m_s=c,
        transmits=tuple(
            _transmit(file, trans, tx, array, len(acquisitions), receive.number("endDepth", r))
            for r, tx in acquisitions
        ),
        first_elements=tuple(int(e[0]) for e in elements),
        sampling="quadrature" if receive.text("sampleMode", first) in _PAIRED else "uniform",
    )
    columns = tuple(s[e].astype(int) - 1 for s, e in zip(signals, elements, strict=True))
    return _Scan(scanned, tuple(start - 1 for start in starts), columns)


def _acquisitions(file: h5py.File, receive: MatStruct) -> list[tuple[int, int]]:
    """Return receive and transmit of every acquisition of frame 1, in order, both counted from 0."""

    def belongs(r: int) -> bool:
        return (
            (receive.number("bufnum", r) or 1.0) == 1.0
            and (receive.number("framenum", r) or 1.0) == 1.0
            and not receive.number("mode", r)
        )

    pairs: list[tuple[int, int]] = []
    if isinstance(file.get("Event"), h5py.Group):
        event = MatStruct(file, "Event")
        for k in range(len(event)):
            r, tx = event.number("rcv", k) or 0.0, event.number("tx", k) or 0.0
            if r and tx and belongs(int(r) - 1) and all(int(r) - 1 != seen for seen, _ in pairs):
                pairs.append((int(r) - 1, int(tx) - 1))
            if len(pairs) > MAX_ACQUISITIONS:
                break  # more than the format accepts
    else:
        chosen = [r for r in range(len(receive)) if belongs(r)]
        pairs = [(r, k) for k, r in enumerate(chosen)]
    if not pairs:
        raise RtelastoError("no acquisition of frame 1 in receive buffer 1")
    return pairs


def _transmit(
    file: h5py.File,
    trans: MatStruct,
    tx: int,
    elements: _Elements,
    n_acquisitions: int,
    end_depth: float | None,
) -> Transmit:
    """Describe a transmit: a focused beam if TX.focus is in the image, a plane wave if it is 0."""
    if not isinstance(file.get("TX"), h5py.Group):
        if n_acquisitions > 1:
            raise RtelastoError(
                f"holds no struct TX for its {n_acquisitions} transmits: save it in the same file"
            )
        return PlaneWave()
    transmits = MatStruct(file, "TX")
    delays_s = _need(transmits.values("Delay", tx), "TX.Delay") / elements.frequency_hz
    apodization = transmits.values("Apod", tx)
    fires = np.ones(delays_s.size, bool) if apodization is None else apodization != 0.0
    aperture = transmits.number("aperture", tx)
    connected = np.arange(elements.n_elements)
    if aperture is not None:
        connected = np.flatnonzero(_signals(trans, aperture, elements.n_elements))
        if delays_s.size == elements.n_elements:  # one value per element, not per channel
            delays_s, fires = delays_s[connected], fires[connected]
    if not delays_s.size == fires.size == connected.size:
        raise RtelastoError(
            f"TX.Delay and TX.Apod have {delays_s.size} and {fires.size} values for "
            f"{connected.size} elements"
        )
    if not fires.any():
        raise RtelastoError("a transmit fires no element: TX.Apod is all 0")
    delays_s, x_m = delays_s[fires], elements.x_m[connected[fires]]
    focus = transmits.number("focus", tx) or 0.0
    if focus < 0.0 or (end_depth is not None and focus > end_depth):
        kind = (
            "diverging wave" if focus < 0.0 else f"wide beam, focused below endDepth {end_depth:g}"
        )
        raise RtelastoError(
            f"TX.focus {focus:g} makes a {kind}: only plane waves and beams focused within the image "
            "can be beamformed"
        )
    if focus > 0.0:
        origin = _need(transmits.values("Origin", tx), "TX.Origin")
        line_x_m = float(origin[0]) * elements.wavelength_m
        return FocusedBeam(line_x_m, float(np.interp(line_x_m, x_m, delays_s)))
    return PlaneWave.from_delays(delays_s, x_m, sound_speed_m_s=elements.sound_speed_m_s)


@dataclass(frozen=True, slots=True)
class _Elements:
    """The array, and the units that a workspace uses for it."""

    n_elements: int
    pitch_m: float
    frequency_hz: float
    sound_speed_m_s: float

    @property
    def x_m(self) -> np.ndarray:
        return self.pitch_m * (np.arange(self.n_elements) - 0.5 * (self.n_elements - 1))

    @property
    def wavelength_m(self) -> float:
        return self.sound_speed_m_s / self.frequency_hz


def _signals(trans: MatStruct, aperture: float | None, n_elements: int) -> np.ndarray:
    """Return the channel of each element, counted from 1; 0 if it is not connected."""
    mux = trans.child("HVMux")
    if mux is not None and aperture is not None:
        table = mux.matrix("ApertureES")
        if table is None:  # its name before release 4.0
            table = _need(mux.matrix("Aperture"), "Trans.HVMux.ApertureES")
        return np.asarray(table[:, int(aperture) - 1])
    connector = trans.values("ConnectorES")
    return np.arange(1.0, n_elements + 1.0) if connector is None else connector


def _start_time_s(file: h5py.File, trans: MatStruct, start_depth: float | None, c: float) -> float:
    """Return the time of the first sample: depths are in wavelengths, the echo peaks TW.peak later, and
    both ways lead through the lens."""
    frequency_hz = 1e6 * _need(trans.number("frequency"), "Trans.frequency")
    peak = MatStruct(file, "TW").number("peak") if isinstance(file.get("TW"), h5py.Group) else None
    lens = trans.number("lensCorrection") or 0.0
    if trans.text("units") == "mm":
        lens *= 1e-3 * frequency_hz / c
    depth = _need(start_depth, "Receive.startDepth")
    return (2.0 * depth - (peak or 0.0) - 2.0 * lens) / frequency_hz


def _pitch_m(trans: MatStruct, c: float, frequency_hz: float) -> float:
    spacing_mm = trans.number("spacingMm")
    if spacing_mm is not None:
        return 1e-3 * spacing_mm
    return _need(trans.number("spacing"), "Trans.spacing") * c / frequency_hz


def _buffer(path: Path, file: h5py.File, resource: MatStruct) -> Any:
    """Return receive buffer 1 as (frame, column, row), from the workspace or from the .bin beside it."""
    data = cell(file, "RcvData", 0)
    if data is None:
        return _binary(path.with_suffix(".bin"), resource)
    if not isinstance(data, h5py.Dataset) or data.dtype != np.int16 or data.ndim not in (2, 3):
        raise RtelastoError(f"RcvData must hold int16 [rows, columns, frames], got {data}")
    check_storage(data)
    if data.shape[-1] * data.shape[-2] > MAX_CHANNEL_SAMPLES:
        raise RtelastoError(
            f"RcvData {data.shape} has more than {MAX_CHANNEL_SAMPLES} samples per frame"
        )
    return data if data.ndim == 3 else numbers(data, MAX_CHANNEL_SAMPLES)[None]


def _binary(path: Path, resource: MatStruct) -> np.ndarray:
    if not path.is_file():
        raise RtelastoError(f"holds no RcvData, and there is no {path.name} beside it")
    rcv = resource.child("RcvBuffer")
    if rcv is None:
        raise RtelastoError(
            "holds no Resource.RcvBuffer, which gives the size of the .bin's frames"
        )
    shape = tuple(
        int(_need(rcv.number(name), f"Resource.RcvBuffer.{name}"))
        for name in ("numFrames", "colsPerFrame", "rowsPerFrame")
    )
    expected = 2 * int(np.prod(shape, dtype=np.int64))
    if path.stat().st_size != expected:
        raise RtelastoError(
            f"{path.name} has {path.stat().st_size} bytes, Resource.RcvBuffer says {expected}"
        )
    return np.memmap(path, "<i2", mode="r", shape=shape)


def _ring_order(resource: MatStruct, n_frames: int) -> np.ndarray:
    """Return frame indices, oldest first; in stored order if the file does not give the newest."""
    rcv = resource.child("RcvBuffer")
    last = rcv.number("lastFrame") if rcv is not None else None
    return (np.arange(n_frames) + (int(last) if last else 0)) % n_frames


def _need(value: Any, name: str) -> Any:
    if value is None:
        raise RtelastoError(f"does not say {name}: save the workspace after VSX has run")
    return value
