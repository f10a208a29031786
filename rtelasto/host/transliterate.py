"""Text for terminals and files whose encoding lacks some of our signs, such as cp1252 or ASCII.

What an encoding lacks is written as the nearest that it has: ``->`` for →, ``x`` for ×, letters without their
accents, and else ``?``. Nothing that rtelasto prints may end it.
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
    """Have stdout and stderr of this process transliterate what their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        # What a test or an embedding program has put there may be anything, and None on Windows.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_fit(character) for character in characters), error.end


def _fit(character: str) -> str:
    """The nearest in ASCII, which every code page has."""
    if character in _NEAREST:
        return _NEAREST[character]
    decomposed = unicodedata.normalize("NFKD", character)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return plain if plain and plain.isascii() else "?"


codecs.register_error(ERRORS, _handle)
