"""HDF5 files of channel data and IQ pixels as a scanner sent them, in zea's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.channel import ChannelFormat, ChannelFrame
from rtelasto.frames.iq import IqFormat, IqFrame, ScannerFrame
from rtelasto.frames.rf import RfFrame
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.scanner_file import ScannerFile
from rtelasto.sinks.zea_file import GZIP, Packing, Provenance

_CHANNEL_UNITS = {
    "n_elements": "#",
    "sampling_freq_hz": "Hz",
    "center_freq_hz": "Hz",
    "element_pitch_m": "m",
    "start_time_s": "s",
    "sound_speed_m_s": "m/s",
    "sampling": "–",
}


class IqWriter(ScannerFile):
    """Writes IQ pixels one by one, as two float32 channels, I and Q.

    Parameters
    ----------
    path
        The file to write; an existing one is replaced.
    iq_format
        Format of every frame.
    provenance
        What is known about the origin of the frames.
    packing
        How pixels are compressed.

    Raises
    ------
    RtelastoError
        If the file cannot be written, or a frame differs from the first in format or type.
    """

    def __init__(
        self,
        path: str | Path,
        iq_format: IqFormat,
        *,
        provenance: Provenance | None = None,
        packing: Packing = GZIP,
    ) -> None:
        super().__init__(path, iq_format, packing)
        with self._abort_on_failure():
            self._file.attrs["description"] = (
                "Beamformed IQ pixels as a scanner sent them, by rtelasto"
            )
            self._map(
                "beamformed_data",
                iq_format.grid,
                unit="–",
                description="Beamformed IQ pixels",
                channels=2,
            )
            self._track["data/beamformed_data/labels"] = np.array(["I", "Q"], dtype=object)
            self._put_format(iq_format)
            self._put(
                "iq_format/carrier", iq_format.carrier, text="Whether the phase turns with depth"
            )
            self._begin_stamps(provenance)

    def write(self, frame: IqFrame, *, header: bytes | None = None) -> None:
        """Append a frame, complex64, and the header of the message that brought it."""
        self._check_open()
        with self._abort_on_failure():
            self._check_frame(frame, header)
            pairs = np.ascontiguousarray(frame.samples.T, np.complex64).view(np.float32)
            self._append_to(self._track["data/beamformed_data/values"], pairs)
            self._append_stamp(frame, header)

    def _finish(self) -> None:
        self._put_timestamps(("beamformed_data",))


class ChannelWriter(ScannerFile):
    """Writes channel data one by one, in their own type, as zea's ``raw_data``.

    Parameters and errors as for `IqWriter`.
    """

    def __init__(
        self,
        path: str | Path,
        channel_format: ChannelFormat,
        *,
        provenance: Provenance | None = None,
        packing: Packing = GZIP,
    ) -> None:
        super().__init__(path, channel_format, packing)
        with self._abort_on_failure():
            self._file.attrs["description"] = "Channel data as a scanner sent them, by rtelasto"
            self._put_channel_format(channel_format)
            self._put_scan(channel_format, _transmit_tables(channel_format))
            geometry = np.zeros((channel_format.n_elements, 3), np.float32)
            geometry[:, 0] = channel_format.element_x_m
            self._file["probe/probe_geometry"] = geometry
            self._file["probe/type"] = "linear"
            self._begin_stamps(provenance)

    def write(self, frame: ChannelFrame, *, header: bytes | None = None) -> None:
        """Append a frame, int16 or float32, and the header of the message that brought it."""
        self._check_open()
        with self._abort_on_failure():
            self._check_frame(frame, header)
            self._append_to(self._track["data/raw_data"], frame.samples.transpose(0, 2, 1))
            self._append_stamp(frame, header)

    def _begin(self, frame: ScannerFrame) -> None:
        n_acquisitions, n_channels, n_samples = frame.samples.shape
        shape = (n_acquisitions, n_samples, n_channels, 1)
        raw = self._track.create_dataset(
            "data/raw_data",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype=frame.samples.dtype,
            **self._packing,
        )
        raw.attrs["unit"] = "–"
        raw.attrs["description"] = "Channel data: frame, transmit, sample, channel, 1"

    def _put_channel_format(self, channels: ChannelFormat) -> None:
        """Write the format exactly, under the names of `ChannelFormat` and of the wire."""
        aims, unit_of_aims = ("angles_rad", "rad") if channels.plane else ("lines_m", "m")
        for name, value, unit in (
            *((name, getattr(channels, name), unit) for name, unit in _CHANNEL_UNITS.items()),
            (aims, channels.aims, unit_of_aims),
            ("origin_times_s", [sent.origin_time_s for sent in channels.transmits], "s"),
            ("first_elements", list(channels.first_elements), "#"),
        ):
            self._put(f"channel_format/{name}", value, unit, "As in rtelasto.ChannelFormat")


def frame_writer(
    path: Path, frame: ScannerFrame, *, provenance: Provenance, packing: Packing
) -> RecordingWriter | IqWriter | ChannelWriter:
    """Open the writer for frames like this one."""
    if isinstance(frame, RfFrame):
        return RecordingWriter(path, frame.format, provenance=provenance, packing=packing)
    if isinstance(frame, IqFrame):
        return IqWriter(path, frame.format, provenance=provenance, packing=packing)
    return ChannelWriter(path, frame.format, provenance=provenance, packing=packing)


def _transmit_tables(channels: ChannelFormat) -> dict[str, NDArray[np.generic]]:
    """Return zea's tables of the transmits.

    The scanner does not say which elements fire: with plane waves those are taken that receive, which leaves
    all arrival times as they are. Nor does it say depth and delays of focused beams, which are NaN.
    """
    n_tx, n_elements = channels.n_acquisitions, channels.n_elements
    unknown = np.full(n_tx, np.nan)
    tables: dict[str, NDArray[np.generic]] = {
        "initial_times": unknown,
        "focus_distances": unknown,
        "polar_angles": np.zeros(n_tx),
        "t0_delays": np.full((n_tx, n_elements), np.nan),
        "tx_apodizations": np.full((n_tx, n_elements), np.nan),
        "transmit_origins": np.zeros((n_tx, 3)),
        "rx_aperture_indices": np.add.outer(
            np.array(channels.first_elements), np.arange(channels.n_channels)
        ),
    }
    if not channels.plane:
        tables["transmit_origins"][:, 0] = channels.aims
        return tables
    tables |= {
        "initial_times": np.zeros(n_tx),
        "focus_distances": np.full(n_tx, np.inf),
        "polar_angles": np.array(channels.aims),
        "t0_delays": np.zeros((n_tx, n_elements)),
        "tx_apodizations": np.zeros((n_tx, n_elements)),
    }
    for k, wave in enumerate(channels.transmits):
        fired = tables["rx_aperture_indices"][k]
        way_m = channels.channel_x_m(k) * np.sin(channels.aims[k])
        fires_s = wave.origin_time_s + way_m / channels.sound_speed_m_s
        tables["t0_delays"][k, fired] = fires_s - fires_s.min()
        tables["tx_apodizations"][k, fired] = 1.0
        tables["initial_times"][k] = channels.start_time_s - fires_s.min()
    return tables
