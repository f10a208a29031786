"""Recordings of IQ pixels as RF lines: each frame is modulated back when it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import IqFormat
from rtelasto.frames.rf import PHYSICS, Float32Image
from rtelasto.sources.contents import Contents, Overrides


class RemodulatedFrames:
    """An array (n_frames, n_lines, n_samples) of RF lines whose frames are computed on indexing.

    Parameters
    ----------
    read
        Returns frame ``i`` as complex pixels (n_lines, n_samples) of ``iq_format``.
    n_frames
        Number of frames.
    iq_format
        Format of the pixels.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, read: Callable[[int], NDArray[np.generic]], n_frames: int, iq_format: IqFormat
    ) -> None:
        self._read = read
        self._remodulate = Remodulator(iq_format)
        self.format = self._remodulate.format
        self.shape = (n_frames, self.format.n_lines, self.format.n_samples)

    def __getitem__(self, place: Any) -> Float32Image:
        frame, *rest = place
        lines = self._remodulate(self._read(frame))
        return lines[tuple(rest)]


def iq_contents(
    read: Callable[[int], NDArray[np.generic]], n_frames: int, iq_format: IqFormat, **more: Any
) -> Contents:
    """Return RF lines for a reader of IQ pixels; their physics follow from those of the pixels."""
    array = RemodulatedFrames(read, n_frames, iq_format)
    made = Contents(
        array=array,
        axes=("frame", "line", "sample"),
        values={name: getattr(array.format, name) for name in PHYSICS},
        made=True,
        **more,
    )
    made.notes.append(
        f"IQ at {iq_format.demodulation_freq_hz / 1e6:g} MHz modulated back to RF lines, "
        f"sampled at {array.format.sampling_freq_hz / 1e6:g} MHz"
    )
    return made


def carrier_hz(overrides: Overrides, stated_hz: float | None = None) -> float:
    """Return the demodulation frequency: that of the file, or else the centre frequency of the user.

    Raises
    ------
    RtelastoError
        If neither is known.
    """
    given = overrides.center_freq_hz
    if stated_hz:
        return stated_hz
    if given is None or given == "estimate":
        raise RtelastoError(
            "holds IQ and does not state its demodulation frequency: give it as center_freq_hz "
            "(--center-freq-hz)"
        )
    return float(given)
