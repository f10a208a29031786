"""Recordings of IQ pixels, handed out as RF lines: a frame is modulated back when it is read."""

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
    """An array (n_frames, n_lines, n_samples) of RF lines whose frames are made on indexing.

    Parameters
    ----------
    read
        Gives frame ``i`` as complex pixels (n_lines, n_samples) of ``iq_format``.
    n_frames
        How many there are.
    iq_format
        What the pixels are.
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
    """What a reader of IQ pixels found: RF lines, whose physics follow from those of the pixels."""
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


def carrier_hz(overrides: Overrides, said_hz: float | None = None) -> float:
    """The frequency that was brought to zero: what the file says, or the centre frequency that is given.

    Raises
    ------
    RtelastoError
        If neither is known.
    """
    given = overrides.center_freq_hz
    if said_hz:
        return said_hz
    if given is None or given == "estimate":
        raise RtelastoError(
            "holds IQ and does not say at what frequency: give it as center_freq_hz "
            "(--center-freq-hz)"
        )
    return float(given)
