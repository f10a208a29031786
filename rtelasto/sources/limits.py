"""How large a recording may be before it is refused; the only place for these numbers.

They are far above what any scanner writes and far below what a wrong or hostile file can request.
"""

from __future__ import annotations

MAX_FRAME_SAMPLES = 1 << 25
"""Of a frame: 64 MiB of int16, as much as a message on the wire may hold."""

MAX_CHANNEL_SAMPLES = 1 << 26
"""Of all channel data of a frame: 128 transmits of 4096 samples on 128 channels."""

MAX_STRAIN_PIXELS = 1 << 23
"""Of a strain frame, which has three images: 2048 lines of 4096 depths."""

MAX_STRAIN_FRAMES = 1 << 22
"""Of a strain file: 58 h at 20 frames/s."""

MAX_FRAMES = 1 << 24
"""Of a recording: 46 h at 100 frames/s."""

MAX_VALUES = 1 << 20
"""Numbers in datasets beside the samples (delays, positions); `MAX_FRAMES` bounds times."""

MAX_TEXT_BYTES = 1 << 16

MAX_CHUNK_BYTES = 1 << 28
"""Of an HDF5 chunk, which is always decoded whole."""

MAX_MESSAGE_CHARS = 500
"""Of an error message about a file, which may quote the file."""

MIN_CHUNK_BYTES = 512
MAX_SCATTERED_BYTES = 1 << 18
"""A dataset larger than this must not have chunks smaller than that: each chunk is looked up separately."""

LOOK_CPU_S = 0.4
LOOK_CPU_S_PER_BYTE = 1.0 / 5e6
"""Processor time to open all objects of an HDF5 file, or to load a MATLAB variable, plus an allowance by file
size: a workspace of 350 MB with 100 000 values, each an object of its own, gets 70 s."""

LOOK_WALL_S = 30.0
LOOK_MEMORY_BYTES = 2 << 30
LOAD_WALL_S_PER_BYTE = 1.0 / 20e6
"""Extra time to load a MATLAB variable from a slow disk; memory may grow by twice the variable's size."""

MAX_MATLAB_BYTES = 1 << 31
"""Of a variable of MATLAB v5, the most that this version can hold; MATLAB saves larger ones with -v7.3."""

MAX_MATLAB_VARIABLES = 1 << 14


def one_line(error: BaseException) -> str:
    """Return the text of an error, without line breaks and control codes that a file may have put into it."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.split()) or type(error).__name__
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:MAX_MESSAGE_CHARS])
    return text if len(text) < MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
