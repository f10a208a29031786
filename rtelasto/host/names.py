"""File names as text that every output can hold."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def printable_name(name: object) -> str:
    """Return a path or other text with escapes for what UTF-8 cannot hold, such as ``\\xe9`` for a byte.

    File names are bytes on Linux and need not be UTF-8. Python keeps such a byte as a lone surrogate, which
    terminals, HDF5, web pages and JSON reject.
    """
    return _SURROGATE.sub(_escaped, str(name))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
