"""Appends to an HDF5 file in the layout of the zea toolbox (docs/formats-written.md).

zea stores images as (frame, depth, line) with the position of every pixel. What it has no place for
is stored under ``custom/``, each dataset with a unit and a description.

Every step is flushed, so that the same frames make the same file, byte for byte: else HDF5 places the chunks
when Python happens to release the last reference to a dataset.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.iq import IqFormat, ScannerFormat
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.host.names import printable_name
from rtelasto.sinks.latched_file import LatchedFile
from rtelasto.sinks.output_file import OutputFile

LAYOUT_VERSION = "0.1.0"
"""The first zea version with this layout; zea treats a file without a version as a legacy file."""

Packing = Mapping[str, Any]
Provenance = Mapping[str, str | int | float]
GZIP: Packing = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
"""Every HDF5 library can read it; about 20 ms per frame of 2608 × 128, `blosc_packing` takes 1.4 ms."""


def blosc_packing() -> Packing:
    """Bit-shuffled LZ4 in Blosc, as zea compresses: fast enough for a scanner.

    Raises
    ------
    MissingExtraError
        If hdf5plugin is not installed.
    """
    try:
        import hdf5plugin
    except ImportError:
        raise MissingExtraError("recording", "record") from None
    return hdf5plugin.Blosc(cname="lz4", clevel=1, shuffle=hdf5plugin.Blosc.BITSHUFFLE)


_UNITS = {
    "n_lines": ("#", "RF lines in a frame"),
    "n_samples": ("#", "Samples in an RF line"),
    "sampling_freq_hz": ("Hz", "Axial sampling frequency of the RF lines"),
    "center_freq_hz": ("Hz", "Centre frequency of the echo"),
    "line_pitch_m": ("m", "Lateral distance between neighbouring RF lines"),
    "start_depth_m": ("m", "Depth of the first sample"),
    "sound_speed_m_s": ("m/s", "Sound speed assumed by the beamformer"),
    "demodulation_freq_hz": ("Hz", "Frequency that was brought to zero"),
}


class ZeaFile:
    """An HDF5 file that grows frame by frame and is renamed into place by `close`.

    Use it as a context manager: an exception inside it, or `abort`, removes what was written.
    ``packing`` is the compression of images, as h5py takes it.

    Raises
    ------
    RtelastoError
        If the path cannot be written, now or later (a full disk).
    """

    def __init__(self, path: str | Path, packing: Packing = GZIP) -> None:
        self._packing = packing
        self._output = OutputFile(path)
        self.n_frames = 0
        self._open = True
        self._stream = LatchedFile(self._output.temporary)
        self._file = h5py.File(self._stream, "w")
        with self._abort_on_failure():
            self._file.attrs["zea_version"] = LAYOUT_VERSION
            self._track = self._file.create_group("tracks/track_0")
            self._custom = self._file.create_group("custom")
            self._custom.attrs["description"] = "What zea's layout has no place for, by rtelasto"

    @property
    def path(self) -> Path:
        return self._output.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def close(self, *, fsync: bool = False) -> None:
        """Finish the file and give it its name. A second call does nothing.

        With ``fsync`` its content is on the disk before it has its name (`OutputFile.flush`).
        """
        if not self._open:
            return
        with self._abort_on_failure():
            if self.n_frames == 0:
                raise RtelastoError(f"{self.path} is not written: there are no frames to put in it")
            self._finish()
            self._file.close()
            self._stream.close()
            if fsync:
                self._output.flush()
        self._open = False
        self._output.commit()

    def abort(self) -> None:
        """Remove everything written so far. Does nothing after `close`."""
        if not self._open:
            return
        self._open = False
        self._file.close()
        self._stream.close()
        self._output.discard()

    @contextlib.contextmanager
    def _abort_on_failure(self) -> Iterator[None]:
        """End the file on any failure: nothing half-written stays; a full disk is reported in one line."""
        try:
            yield
        except BaseException:
            self.abort()
            raise
        if self._stream.error is not None:
            self.abort()
            raise self._output.failure(self._stream.error) from self._stream.error

    def _finish(self) -> None:
        """Write what depends on all frames."""

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"{self.path} is closed")

    def _map(
        self, name: str, grid: Grid, *, unit: str, description: str, channels: int = 0
    ) -> None:
        """Start an image sequence: no frames yet, one chunk per frame."""
        group = self._track.create_group(f"data/{name}")
        shape = (grid.n_depths, grid.n_lines) + ((channels,) if channels else ())
        values = group.create_dataset(
            "values",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype=np.float32,
            **self._packing,
        )
        values.attrs["unit"] = unit
        values.attrs["description"] = description
        group["unit"] = unit
        group["description"] = description
        if "coordinates" not in self._track["data"].attrs:
            positions = group.create_dataset(
                "coordinates", data=_coordinates(grid), **self._packing
            )
            positions.flush()
            positions.attrs["unit"] = "m"
            self._track["data"].attrs["coordinates"] = positions.name
        else:
            # A second name for the same dataset: every map has its positions, which are stored once.
            group["coordinates"] = self._file[self._track["data"].attrs["coordinates"]]

    def _append_image(self, name: str, image: NDArray[np.generic]) -> None:
        """Append an image (n_lines, n_depths) to a map, which stores it as (depth, line)."""
        self._append_to(self._track[f"data/{name}/values"], image.T)

    def _series(self, name: str, shape: tuple[int, ...], dtype: Any, unit: str, text: str) -> None:
        """Start a per-frame dataset under ``custom/``."""
        row = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        dataset = self._custom.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(max(1, min(1024, (1 << 16) // row)), *shape),
            dtype=dtype,
        )
        dataset.attrs["unit"] = unit
        dataset.attrs["description"] = text

    def _append(self, name: str, value: ArrayLike) -> None:
        self._append_to(self._custom[name], value)

    def _append_to(self, dataset: h5py.Dataset, value: ArrayLike) -> None:
        """Append the values of a frame, in the order in which the dataset stores them."""
        dataset.resize(self.n_frames + 1, axis=0)
        dataset[self.n_frames] = np.reshape(value, dataset.shape[1:])
        dataset.flush()

    def _put(self, name: str, value: ArrayLike, unit: str = "–", text: str = "") -> None:
        """Write a value, a list or a text under ``custom/``."""
        self._custom[name] = printable_name(value) if isinstance(value, str) else value
        self._custom[name].attrs["unit"] = unit
        self._custom[name].attrs["description"] = text

    def _put_format(self, beamformed: RfFormat | IqFormat) -> None:
        """Write the format of lines or pixels: exact in ``custom/rf_format`` or ``custom/iq_format``, and in
        ``scan`` where zea looks for it.

        A sequence of beamformed lines does not know its transmits, so it has none: n_tx is 0, which zea
        accepts.
        """
        group = "iq_format" if isinstance(beamformed, IqFormat) else "rf_format"
        for name, (unit, text) in _UNITS.items():
            if hasattr(beamformed, name):
                self._put(f"{group}/{name}", getattr(beamformed, name), unit, text)
        n_lines = beamformed.n_lines
        self._put_scan(
            beamformed,
            dict.fromkeys(("initial_times", "focus_distances", "polar_angles"), np.zeros(0))
            | dict.fromkeys(("t0_delays", "tx_apodizations"), np.zeros((0, n_lines)))
            | {"transmit_origins": np.zeros((0, 3))},
        )

    def _put_scan(self, scanned: ScannerFormat, transmits: Mapping[str, ArrayLike]) -> None:
        """Write zea's ``scan``, with its tables of transmits: float32, except for indices."""
        scan = self._track.create_group("scan")
        scan["sampling_frequency"] = np.float32(scanned.sampling_freq_hz)
        scan["center_frequency"] = np.float32(scanned.center_freq_hz)
        demodulated_hz = getattr(scanned, "demodulation_freq_hz", scanned.center_freq_hz)
        scan["demodulation_frequency"] = np.float32(demodulated_hz)
        scan["sound_speed"] = np.float32(scanned.sound_speed_m_s)
        for name, table in transmits.items():
            values = np.asarray(table)
            scan[name] = values.astype(np.int32 if values.dtype.kind == "i" else np.float32)

    def _put_provenance(self, provenance: Provenance) -> None:
        for name, value in {"rtelasto_version": version("rtelasto"), **provenance}.items():
            self._put(f"provenance/{snake_case(name)}", value)

    def _put_timestamps(self, names: tuple[str, ...]) -> None:
        """Write zea's timestamps, s from the first frame, if the acquisition times rise.

        zea stores them in single precision; ``custom/acquired_ns`` holds them exactly.
        """
        acquired_ns = self._custom["acquired_ns"][()]
        seconds = ((acquired_ns - acquired_ns[0]) * 1e-9).astype(np.float32)
        if np.all(np.diff(seconds) > 0.0) and acquired_ns[-1] != 0:
            for name in names:
                self._track[f"data/{name}/timestamps"] = seconds
                self._track[f"data/{name}/start_time_offset"] = np.float32(0.0)


def snake_case(name: str) -> str:
    """Convert a name to the form that zea wants under ``custom/``: small letters, digits, underscores."""
    return re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")


def _coordinates(grid: Grid) -> NDArray[np.float32]:
    """Return (x, y, z) of every pixel in m, shape (n_depths, n_lines, 3)."""
    positions = np.zeros((grid.n_depths, grid.n_lines, 3), np.float32)
    positions[:, :, 0] = grid.lateral_m[None, :]
    positions[:, :, 2] = grid.depth_m[:, None]
    return positions
