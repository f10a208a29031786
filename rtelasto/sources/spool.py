"""Decompressed data in an unnamed temporary file, so that frames can be read in any order."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError

# Deflate compresses by at most 1032:1 (zlib's technical notes), so a header that promises more than that
# from the bytes in the file is wrong, and nothing is decompressed for it.
_MAX_DEFLATE_RATIO = 1032
_PIECE_BYTES = 1 << 20


def check_deflate_size(decoded_bytes: int, stored_bytes: int) -> None:
    """Refuse a header that promises more data than the compressed bytes can hold."""
    if decoded_bytes > _MAX_DEFLATE_RATIO * stored_bytes + 4096:
        raise RtelastoError(
            f"promises {decoded_bytes} bytes but holds only {stored_bytes} compressed ones: "
            "the file is truncated or its header is wrong"
        )


def inflate(path: Path, start: int, length: int, *, at_most: int | None = None) -> Iterator[bytes]:
    """Decode the zlib or gzip stream in a part of a file, in pieces of bounded size.

    Decode at most ``at_most`` bytes of it, if given. The stream may end before the part does.
    """
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    left = at_most
    with path.open("rb") as file:
        file.seek(start)
        packed = b""
        while not decoder.eof and left != 0:
            if not packed:
                packed = file.read(min(length, _PIECE_BYTES))
                length -= len(packed)
                if not packed:
                    return
            piece = decoder.decompress(
                packed, _PIECE_BYTES if left is None else min(left, _PIECE_BYTES)
            )
            packed = decoder.unconsumed_tail
            if left is not None:
                left -= len(piece)
            yield piece


def spool(chunks: Iterable[bytes], n_bytes: int) -> tuple[NDArray[np.uint8], Callable[[], None]]:
    """Write decoded chunks to a temporary file and map it.

    Parameters
    ----------
        The decoded data, piece by piece; never held in memory as a whole.
    n_bytes
        Number of bytes that the header promises.

    Returns
    -------
    tuple
        The bytes as a read-only memory map, and a function that releases the file.

    Raises
    ------
    RtelastoError
        If the data are not exactly ``n_bytes`` long or the disk has too little room.
    """
    if n_bytes == 0:
        return np.zeros(0, np.uint8), lambda: None
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if n_bytes > free:
        raise RtelastoError(
            f"decodes to {n_bytes} bytes, but the folder for temporary files has {free} left"
        )
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        written = 0
        for chunk in chunks:
            written += len(chunk)
            if written > n_bytes:
                raise RtelastoError(f"decodes to more than the {n_bytes} bytes its header promises")
            file.write(chunk)
        if written < n_bytes:
            raise RtelastoError(
                f"is truncated: {written} of the {n_bytes} bytes its header promises"
            )
        file.flush()
        return np.memmap(file, dtype=np.uint8, mode="r", shape=(n_bytes,)), file.close
    except BaseException:
        file.close()
        raise
