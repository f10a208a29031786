"""Names of files as text that every output can hold."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def printable_name(name: object) -> str:
    """A path or other text with what UTF-8 cannot hold written out: a byte as ``\\xe9``.

    Names of files are bytes on Linux and need not be UTF-8; Python keeps such a byte as a lone surrogate,
    which no terminal, HDF5 file, page or JSON takes.
    """
    return _SURROGATE.sub(_written_out, str(name))


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
