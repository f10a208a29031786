"""Links between pages lead somewhere: to a file that is there, and to a heading that it has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
# Not what a set-up or a build leaves, such as .venv.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for top in ("*.md", "examples/*.md", *(f"{folder}/**/*.md" for folder in (
        "benchmarks", "bridge", "docs", "engines", "rtelasto", "tests")))
    for path in ROOT.glob(top)
)  # fmt: skip
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def links_of(page: str) -> list[str]:
    """The targets of a page's links that stay in this repository."""
    text = _CODE.sub("", _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8")))
    return [target for target in _LINK.findall(text) if not _SCHEME.match(target)]


@cache
def anchors_of(page: Path) -> set[str]:
    """What the forge calls the headings of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    anchors: set[str] = set()
    for heading in _HEADING.findall(text):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        # A second heading of the same words gets a number.
        numbered = (anchor, *(f"{anchor}-{n}" for n in range(1, 100)))
        anchors.add(next(name for name in numbered if name not in anchors))
    return anchors


@pytest.mark.parametrize("page", PAGES)
def test_every_link_on_a_page_leads_to_a_file_and_a_heading(page: str) -> None:
    broken = []
    for target in links_of(page):
        name, _, anchor = unquote(target).partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists() or (
            anchor and path.suffix == ".md" and anchor not in anchors_of(path)
        ):
            broken.append(target)
    assert not broken


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, to_read = set(), [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in links_of(page.relative_to(ROOT).as_posix()):
            path = (page.parent / unquote(target).partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_file():
                to_read.append(path)
    # A decision record is found in its folder.
    pages = {ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")}
    pages |= {*(ROOT / "docs").glob("tutorials/*.md"), *(ROOT / "docs").glob("api/*.md")}
    assert {path.name for path in pages - reached} == set()


_PATH = r"(?:[\w.-]+/)+[\w.-]+\.(?:py|md|onnx|m|h|c|js|html|toml|cfg)\b"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    pictures = "".join(re.findall(r"^```mermaid$.*?^```$", text, re.MULTILINE | re.DOTALL))
    named = re.findall(rf"`({_PATH})`", _FENCE.sub("", text)) + re.findall(_PATH, pictures)
    # `live/run.py` is that of the package.
    homes = (ROOT, ROOT / "rtelasto", (ROOT / page).parent)
    missing = [name for name in named if not any((home / name).exists() for home in homes)]
    assert [name for name in missing if "NAME" not in name] == []
