"""The README: what it says was tried is what docs/tried.md says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_TABLE = re.compile(r"^\| \| tried \|.*?(?=\n\n)", re.MULTILINE | re.DOTALL)


def tried(page: str) -> str:
    (table,) = _TABLE.findall((ROOT / page).read_text(encoding="utf-8"))
    return str(table)


def test_the_readme_repeats_the_table_of_what_was_tried_word_for_word() -> None:
    assert tried("README.md") == tried("docs/tried.md")
