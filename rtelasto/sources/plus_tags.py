"""What PlusLib's tags state about the frames of a MetaImage sequence.

This follows PlusLib's own reader and writer (vtkPlusMetaImageSequenceIO, igsioVideoFrame): image type and
orientation for all frames, status and time for each frame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError

Signal = Literal["RF", "IQ pairs", "I and Q lines", "B-mode", ""]

_FRAME = re.compile(r"Seq_Frame(\d+)_(Timestamp|ImageStatus)")
_LATEST_S = 10**10  # the year 2286
_LATERAL, _AXIAL = "MU", "FN"  # marked or unmarked side; far or near end
_SIGNALS: dict[str, Signal] = {
    "RF": "RF",
    "RF_REAL": "RF",
    "RF_IQ_LINE": "IQ pairs",
    "RF_I_LINE_Q_LINE": "I and Q lines",
    "BRIGHTNESS": "B-mode",
    "RGB_COLOR": "B-mode",
}
_PLANES = ("domain", "space", "")


def signal(tags: Mapping[str, str]) -> Signal:
    """Return the kind of values that ``UltrasoundImageType`` names; empty if it is absent or unknown."""
    return _SIGNALS.get(tags.get("UltrasoundImageType", "").upper(), "")


def orientation(tags: Mapping[str, str]) -> str:
    """Return the directions of the first two axes, one of M, U and one of F, N; empty if not stated."""
    letters = tags.get("UltrasoundImageOrientation", "").upper()[:2]
    known = len(letters) == 2 and (
        (letters[0] in _LATERAL and letters[1] in _AXIAL)
        or (letters[0] in _AXIAL and letters[1] in _LATERAL)
    )
    return letters if known else ""


def first_axis(letters: str) -> str:
    """Return the name of the axis that a letter of the orientation stands for."""
    return "line" if letters[0] in _LATERAL else "sample"


def frame_axis(tags: Mapping[str, str], sizes: list[int]) -> int | None:
    """Return which of ``DimSize`` counts frames: the one in ``Kinds``, or else the last after the first two.

    Raises
    ------
    RtelastoError
        If ``Kinds`` states that the values are not a sequence of frames with one number per sample.
    """
    kinds = tags.get("Kinds", "").lower().split()
    if kinds and len(kinds) != len(sizes):
        raise RtelastoError(
            f"Kinds is {' '.join(kinds)!r}: one for each of {len(sizes)} axes is expected"
        )
    others = [k for k in kinds if k not in (*_PLANES, "time", "list", "???", "none")]
    if others:
        raise RtelastoError(
            f"Kinds is {' '.join(kinds)!r}: RF lines have no axis of kind {others[0]!r}"
        )
    counted = [i for i, kind in enumerate(kinds) if kind in ("time", "list")]
    if len(counted) > 1:
        raise RtelastoError(f"Kinds is {' '.join(kinds)!r}: more than one axis counts frames")
    if counted:
        return counted[0]
    if kinds and len(sizes) == 3 and min(sizes) > 1 and all(kind in _PLANES for kind in kinds):
        raise RtelastoError(
            f"Kinds is {' '.join(kinds)!r}: a volume, where frames of RF lines have an axis of kind 'list'"
        )
    late = [axis for axis in range(2, len(sizes)) if sizes[axis] != 1]
    return late[-1] if late else 2 if len(sizes) > 2 else None


def frames(tags: Mapping[str, str], n_frames: int) -> tuple[list[int], NDArray[np.int64] | None]:
    """Return the valid frames, and their times in ns if all have one.

    PlusLib may number frames from any start. It writes frames whose ``ImageStatus`` is not OK as zeros. Times
    are parsed as decimals, because seconds since 1970 with nanoseconds need more digits than a double has.
    """
    stamps: dict[int, int] = {}
    invalid: set[int] = set()
    numbers: set[int] = set()
    for name, value in tags.items():
        match = _FRAME.fullmatch(name)
        if match is None:
            continue
        number = int(match[1])
        numbers.add(number)
        if match[2] == "Timestamp":
            stamps[number] = _ns(name, value)
        elif value.upper() != "OK":
            invalid.add(number)
    order = sorted(numbers)
    valid = [i for i in range(n_frames) if i >= len(order) or order[i] not in invalid]
    if not stamps or max(abs(ns) for ns in stamps.values()) >= 2**63:
        return valid, None
    if len(order) != n_frames:  # some frames have no tags, and which ones is unknown
        times = [stamps[number] for number in order if number in stamps]
    else:
        times = [stamps[order[i]] for i in valid if order[i] in stamps]
    return valid, np.array(times, dtype=np.int64)


def _ns(name: str, value: str) -> int:
    try:
        seconds = Decimal(value)
        if not abs(seconds) < _LATEST_S:  # check before the power of ten is written out
            raise ValueError
        return int(seconds * 1_000_000_000)
    except (InvalidOperation, ValueError, OverflowError):
        raise RtelastoError(f"{name} must be a time in s, got {value!r}") from None
