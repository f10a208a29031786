"""HDF5 files of RF recordings, in zea's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.sinks.scanner_file import ScannerFile
from rtelasto.sinks.zea_file import GZIP, Packing, Provenance

# Types that float32 holds exactly; zea stores RF lines in no other type.
_EXACT_IN_FLOAT32 = ("i1", "u1", "i2", "u2", "f2", "f4")


class TissueMotion(Protocol):
    """Displacement of the tissue from a reference state, at the nodes of a regular grid.

    ``axial_m`` and ``lateral_m`` are (n_x, n_z), the first node lies at (x0_m, z0_m), and
    ``gradient`` returns an object with ``u_z``, the axial strain, at points (x, z).
    """

    @property
    def axial_m(self) -> NDArray[np.float64]: ...

    @property
    def lateral_m(self) -> NDArray[np.float64]: ...

    @property
    def x0_m(self) -> float: ...

    @property
    def z0_m(self) -> float: ...

    @property
    def dx_m(self) -> float: ...

    @property
    def dz_m(self) -> float: ...

    @property
    def x_m(self) -> NDArray[np.float64]: ...

    @property
    def z_m(self) -> NDArray[np.float64]: ...

    def gradient(self, x_m: NDArray[np.floating], z_m: NDArray[np.floating]) -> Any: ...


class RecordingWriter(ScannerFile):
    """Writes RF frames one by one; `rtelasto.sources.open_recording` and zea read them back.

    Samples are stored as float32, which zea requires. Types of up to 16 bits come back from
    `open_recording` unchanged; wider ones come back as float32.

    Parameters
    ----------
    path
        The file to write; an existing one is replaced.
    rf_format
        Format of every frame.
    frame_rate_hz
        Frame rate from which acquisition times are computed; without it each frame's ``acquired_ns`` is
        stored.
    provenance
        What is known about the origin of the frames.
    packing
        How images are compressed.

    Raises
    ------
    RtelastoError
        If the file cannot be written, a frame differs from the first in format or type, or only some
        frames come with a truth.
    """

    def __init__(
        self,
        path: str | Path,
        rf_format: RfFormat,
        *,
        frame_rate_hz: float | None = None,
        provenance: Provenance | None = None,
        packing: Packing = GZIP,
    ) -> None:
        super().__init__(path, rf_format, packing)
        self._frame_rate_hz = frame_rate_hz
        self._has_truth = False
        with self._abort_on_failure():
            self._file.attrs["description"] = "Beamformed RF lines for strain imaging, by rtelasto"
            self._map(
                "beamformed_data",
                rf_format.grid,
                unit="–",
                description="Beamformed RF lines",
                channels=1,
            )
            self._track["data/beamformed_data/labels"] = np.array(["RF"], dtype=object)
            self._put_format(rf_format)
            self._begin_stamps(provenance)

    def write(
        self, frame: RfFrame, truth: TissueMotion | None = None, *, header: bytes | None = None
    ) -> None:
        """Append a frame; for a simulation, how its tissue moved from the reference state; if it came in a
        message, the header of that."""
        self._check_open()
        with self._abort_on_failure():
            self._check_frame(frame, header)
            if truth is not None and self.n_frames == 0:
                self._begin_truth(truth)
            if (truth is not None) != self._has_truth:
                raise RtelastoError(
                    f"{self.path}: frame {frame.frame_id} differs from the first in having a truth"
                )
            if truth is not None:
                self._append_truth(truth)
            acquired_ns = None
            if self._frame_rate_hz is not None:
                acquired_ns = round(self.n_frames * 1e9 / self._frame_rate_hz)
            self._append_image("beamformed_data", frame.samples)
            self._append_stamp(frame, header, acquired_ns)

    def _begin(self, frame: ScannerFrame) -> None:
        name = frame.samples.dtype.str[1:]
        self._put("rf_format/dtype", name if name in _EXACT_IN_FLOAT32 else "f4", text="NumPy type")

    def _begin_truth(self, truth: TissueMotion) -> None:
        self._has_truth = True
        nodes = truth.axial_m.shape
        for name, unit, text in (
            (
                "axial_displacement_m",
                "m",
                "u at the nodes, from the reference state; down is positive",
            ),
            ("lateral_displacement_m", "m", "v at the nodes, from the reference state"),
            ("axial_strain", "–", "du/dz at the nodes, in the reference state"),
        ):
            self._series(f"truth/{name}", nodes, np.float64, unit, text)
        for name, text in (
            ("x0_m", "Lateral position of the first node, from the image centre"),
            ("z0_m", "Depth of the first node"),
            ("dx_m", "Lateral distance of the nodes"),
            ("dz_m", "Axial distance of the nodes"),
        ):
            self._put(f"truth/{name}", float(getattr(truth, name)), "m", text)

    def _append_truth(self, truth: TissueMotion) -> None:
        place = tuple(float(self._custom[f"truth/{name}"][()]) for name in _NODES)
        if tuple(float(getattr(truth, name)) for name in _NODES) != place:
            raise RtelastoError(f"{self.path}: the truth of frame {self.n_frames} has other nodes")
        self._append("truth/axial_displacement_m", truth.axial_m)
        self._append("truth/lateral_displacement_m", truth.lateral_m)
        gradient = truth.gradient(truth.x_m[:, None], truth.z_m[None, :])
        self._append("truth/axial_strain", gradient.u_z)

    def _finish(self) -> None:
        self._put_timestamps(("beamformed_data",))


_NODES = ("x0_m", "z0_m", "dx_m", "dz_m")
