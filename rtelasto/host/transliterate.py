"""Text for terminals and files whose encoding lacks some of our characters, such as cp1252 or ASCII.

A character that the encoding lacks is replaced by the nearest one that it has: ``->`` for →, ``x`` for ×,
letters without their accents, and ``?`` otherwise. Printing must never end a command.
"""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

ERRORS = "rtelasto.host.transliterate"
"""The name of the error handler, for `str.encode` and text files."""

_NEAREST = {
    "…": "...",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "×": "x",
    "·": "*",
    "–": "-",
    "—": "-",
    "−": "-",
    "±": "+-",
    "µ": "u",
    "μ": "u",
    "σ": "sigma",
    "ρ": "rho",
    "λ": "lambda",
    "Δ": "d",
    "∂": "d",
    "∝": "~",
    "°": " deg",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "•": "*",
    "─": "-",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "│": "|",
}


def use_for_output() -> None:
    """Make stdout and stderr of this process transliterate characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        # A test or an embedding program may have replaced the stream; on Windows it may be None.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_nearest_ascii(character) for character in characters), error.end


def _nearest_ascii(character: str) -> str:
    """Return the nearest text in ASCII, which every code page has."""
    if character in _NEAREST:
        return _NEAREST[character]
    decomposed = unicodedata.normalize("NFKD", character)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return plain if plain and plain.isascii() else "?"


codecs.register_error(ERRORS, _handle)
