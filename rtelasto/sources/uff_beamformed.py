"""Beamformed data in UFF, the file format of the UltraSound ToolBox (USTB): RF lines, or IQ of pixels.

The pyuff_ustb package reads the pixel grid. The samples are read here, frame by frame, because the package
loads them whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import IqFormat
from rtelasto.sources.contents import Contents, Overrides
from rtelasto.sources.hdf5_storage import check_storage
from rtelasto.sources.iq_frames import carrier_hz, iq_contents
from rtelasto.sources.limits import MAX_FRAME_SAMPLES

_SPEED_M_S = 1540.0
_UNEVEN = 0.05  # largest deviation of a step, as a share of the mean step
_ADVICE = (
    "beamform it on a uff.linear_scan with one value per pixel (no wave or channel dimension left)"
)


def read_beamformed(path: Path, name: str, overrides: Overrides) -> Contents:
    """Return the object ``name`` of class ``uff.beamformed_data`` as RF lines; modulate complex data back.

    Raises
    ------
    RtelastoError
        If its pixels are not those of a linear scan, or there is more than one value per pixel.
    """
    if overrides.axes is not None or overrides.dataset is not None:
        raise RtelastoError("holds UFF data, which define their axes: omit --axes and --dataset")
    x_m, z_m, center_hz, modulation_hz, rate_hz = _describe(path, name)
    pitch_m, step_m = _step(x_m, "x_axis"), _step(z_m, "z_axis")
    if x_m.size * z_m.size > MAX_FRAME_SAMPLES:
        raise RtelastoError(f"{name} has {x_m.size} × {z_m.size} pixels, too many for a frame")
    file = h5py.File(path, "r", locking=False)
    try:
        pixels = _Pixels(file[name], x_m.size, z_m.size)
        more: dict[str, Any] = {"provenance": {"source_dataset": f"/{name}"}, "close": file.close}
        if rate_hz:
            times = np.arange(pixels.shape[0]) * (1e9 / rate_hz)
            more["timestamps_ns"] = np.rint(times).astype(np.int64)
        if not pixels.complex:
            return Contents(
                array=pixels,
                axes=("frame", "line", "sample"),
                axial_step_m=step_m,
                values={"line_pitch_m": pitch_m, "start_depth_m": float(z_m[0])}
                | ({"center_freq_hz": center_hz} if center_hz else {}),
                **more,
            )
        # Without a modulation frequency they are the analytic signal, whose phase still turns with depth.
        kept = not modulation_hz
        carrier = carrier_hz(overrides, center_hz if kept else modulation_hz)
        speed = overrides.sound_speed_m_s or _SPEED_M_S
        given = overrides.center_freq_hz
        iq_format = IqFormat(
            n_lines=x_m.size,
            n_samples=z_m.size,
            sampling_freq_hz=overrides.sampling_freq_hz or speed / (2.0 * step_m),
            demodulation_freq_hz=carrier,
            center_freq_hz=given if isinstance(given, float | int) else center_hz or carrier,
            line_pitch_m=overrides.line_pitch_m or pitch_m,
            start_depth_m=float(z_m[0])
            if overrides.start_depth_m is None
            else overrides.start_depth_m,
            sound_speed_m_s=speed,
            carrier="kept" if kept else "removed",
        )
        return iq_contents(pixels.read, pixels.shape[0], iq_format, **more)
    except BaseException:
        file.close()
        raise


class _Pixels:
    """An array (n_frames, n_lines, n_samples) over data stored as (frame, wave, channel, pixel).

    Leading axes of length 1 may be missing. The pixels of each line follow each other, in the order of
    USTB's linear scan. Complex values are stored in a group, as two datasets.
    """

    def __init__(self, group: h5py.Group, n_lines: int, n_samples: int) -> None:
        data = group.get("data")
        self.complex = isinstance(data, h5py.Group)
        parts = [data.get("real"), data.get("imag")] if isinstance(data, h5py.Group) else [data]
        for part in parts:
            check_storage(part)
            if part.dtype.kind not in "iuf" or part.shape != parts[0].shape:
                raise RtelastoError(
                    f"{part.name} holds {part.dtype} {part.shape}, not numbers of one type and shape"
                )
        shape = parts[0].shape
        n_pixels = n_lines * n_samples
        # pyuff_ustb writes the axes in the opposite order to MATLAB, which reverses them.
        self._reversed = len(shape) > 1 and shape[-1] != n_pixels and shape[0] == n_pixels
        ordered = shape[::-1] if self._reversed else shape
        if not 1 <= len(shape) <= 4 or ordered[-1] != n_pixels:
            raise RtelastoError(
                f"{group.name}/data {shape} does not fit its scan of {n_lines} × {n_samples} pixels"
            )
        if any(length != 1 for length in ordered[-3:-1]):
            raise RtelastoError(
                f"{group.name}/data {shape} has several waves or channels: {_ADVICE}"
            )
        self._parts = parts
        self.shape = (ordered[0] if len(shape) == 4 else 1, n_lines, n_samples)
        self.dtype = np.dtype(np.complex64) if self.complex else parts[0].dtype

    def read(self, i: int) -> np.ndarray:
        place: Any = ()
        if self._parts[0].ndim == 4:
            place = (..., i) if self._reversed else i
        values = [np.ravel(part[place]) for part in self._parts]
        pixels = values[0] + 1j * values[1] if self.complex else values[0]
        return pixels.reshape(self.shape[1:])

    def __getitem__(self, place: Any) -> np.ndarray:
        frame, *rest = place
        return np.asarray(self.read(frame)[tuple(rest)])


def _describe(
    path: Path, name: str
) -> tuple[np.ndarray, np.ndarray, float | None, float | None, float | None]:
    """Return the axes of the pixel grid in m, centre and modulation frequency in Hz, frames/s if known."""
    from pyuff_ustb import LinearScan, Uff

    found = Uff(str(path)).read(name)
    if not isinstance(found.scan, LinearScan):
        raise RtelastoError(
            f"{name} is beamformed on a {type(found.scan).__name__}, not on parallel lines: {_ADVICE}"
        )
    pulse = found.pulse
    center = pulse.center_frequency if pulse is not None else None
    return (
        np.asarray(found.scan.x_axis, np.float64).ravel(),
        np.asarray(found.scan.z_axis, np.float64).ravel(),
        _positive(center),
        _positive(found.modulation_frequency),
        _positive(found.frame_rate),
    )


def _positive(value: Any) -> float | None:
    if value is None or np.size(value) != 1:
        return None
    number = float(np.squeeze(value))
    return number if np.isfinite(number) and number > 0.0 else None


def _step(axis_m: np.ndarray, what: str) -> float:
    if axis_m.size < 2:
        raise RtelastoError(f"its scan has {axis_m.size} values in {what}: RF lines need 2 or more")
    step = float(np.mean(np.diff(axis_m)))
    if not step > 0.0 or np.abs(np.diff(axis_m) - step).max() > _UNEVEN * step:
        raise RtelastoError(f"the {what} of its scan does not rise in even steps: {_ADVICE}")
    return step
