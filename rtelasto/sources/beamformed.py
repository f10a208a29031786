"""Recordings of channel data as RF lines: each frame is beamformed when it is read."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rtelasto.cpu.beamform import Beamformer
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.rf import PHYSICS, Float32Image
from rtelasto.sources.contents import Contents, Overrides


class ChannelFrames(Protocol):
    """Channel data of one format, read frame by frame: (n_acquisitions, n_channels, n_samples)."""

    n_frames: int
    format: ChannelFormat

    def read(self, i: int) -> np.ndarray: ...


class BeamformedFrames:
    """An array (n_frames, n_lines, n_samples) of RF lines whose frames are computed on indexing."""

    dtype = np.dtype(np.float32)

    def __init__(self, frames: ChannelFrames) -> None:
        self._frames = frames
        self._beamform = Beamformer(frames.format)
        self.format = self._beamform.format
        self.shape = (frames.n_frames, self.format.n_lines, self.format.n_samples)

    def __getitem__(self, place: Any) -> Float32Image:
        frame, *rest = place
        lines = self._beamform(self._frames.read(frame))
        return lines[tuple(rest)]


def beamformed_contents(frames: ChannelFrames, **more: Any) -> Contents:
    """Return RF lines for a reader of channel data, with the physics of the beamformer."""
    array = BeamformedFrames(frames)
    channels = frames.format
    return Contents(
        array=array,
        axes=("frame", "line", "sample"),
        values={name: getattr(array.format, name) for name in PHYSICS},
        notes=[
            f"channel data beamformed: {channels.n_acquisitions} transmits on "
            f"{channels.n_channels} channels to {array.format.n_lines} lines"
        ],
        **more,
    )


def refuse_overrides(overrides: Overrides, kind: str = "channel data") -> None:
    """Raise if the user overrides what follows from data of which RF lines are made.

    Only centre frequency and sound speed can be given: RF lines are made with them.

    Raises
    ------
    RtelastoError
        If any other override is given.
    """
    for name in ("sampling_freq_hz", "line_pitch_m", "start_depth_m", "axes", "dataset"):
        if getattr(overrides, name) is not None:
            raise RtelastoError(
                f"holds {kind}, whose {name} comes from the file: omit "
                f"--{name.replace('_', '-')} (--center-freq-hz and --sound-speed-m-s may be given)"
            )
    if overrides.center_freq_hz == "estimate":
        raise RtelastoError(
            f"holds {kind}: RF lines are made with the centre frequency, which cannot be estimated from "
            "the result"
        )
