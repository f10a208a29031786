"""What docs/api.md lists can be imported from where it says, has a docstring, and is all that is public."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_HEADING = re.compile(r"^## \[`(rtelasto[\w.]*)`\]")
_ROW = re.compile(r"^   (\w+)$")
PAGES = sorted(
    page
    for folder in (ROOT, ROOT / "bridge", ROOT / "docs", ROOT / "benchmarks")
    for page in folder.glob("*.md")
    if page.name != "CHANGELOG.md"
)


def listed() -> dict[str, list[str]]:
    """The names of each package, as docs/api.md has them."""
    packages: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "api.md").read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            packages[heading[1]] = []
        elif row := _ROW.match(line):
            packages[next(reversed(packages))].append(row[1])
    return packages


LISTED = listed()


@pytest.mark.parametrize("package", LISTED)
def test_the_page_lists_exactly_what_a_package_exports(package: str) -> None:
    exported = importlib.import_module(package).__all__
    assert sorted(exported) == sorted(LISTED[package])


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package, names in LISTED.items() for name in names]
)
def test_a_public_name_can_be_imported_and_has_a_docstring(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    assert name in dir(importlib.import_module(package))
    # A dataclass without a docstring gets its signature.
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")
    assert inspect.getmodule(value).__name__.startswith("rtelasto.")  # type: ignore[union-attr]


def test_every_folder_that_exports_lazily_is_on_the_page() -> None:
    exporting = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "rtelasto").glob("**/__init__.py")
        if "lazy_names(" in path.read_text(encoding="utf-8")
    }
    assert exporting == set(LISTED)
    assert LISTED["rtelasto"]


@pytest.mark.parametrize("package", LISTED)
def test_type_checkers_see_the_names_where_they_are(package: str) -> None:
    path = ROOT.joinpath(*package.split("."), "__init__.py")
    seen = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module != "rtelasto.lazy"
        for alias in node.names
    }
    assert sorted(map(str, seen)) == sorted(LISTED[package])
    for name, place in seen.items():
        module, _, attribute = place.rpartition(".")
        home = getattr(importlib.import_module(module), attribute)
        assert getattr(importlib.import_module(package), str(name)) is home


def test_a_misspelt_name_is_an_attribute_error_that_names_it() -> None:
    for package in LISTED:
        with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'Frobnicate'"):
            _ = importlib.import_module(package).Frobnicate


def test_importing_the_packages_loads_no_library() -> None:
    program = (
        f"import sys, {', '.join(LISTED)}\n"
        "print([m for m in ('numpy', 'numba', 'zmq', 'scipy', 'h5py', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_import_only_public_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    used = [
        (module, name.strip())
        for module, names in re.findall(
            r"^from (rtelasto(?:\.[\w.]+)?) import ([\w, ]+)$", text, re.M
        )
        for name in names.split(",")
    ]
    # MATLAB's way.
    used += re.findall(r"\bpy\.(rtelasto(?:\.[a-z]\w*)*)\.(\w+)\(", text)
    used += [("rtelasto", name) for name in re.findall(r"(?<![\w./`])rtelasto\.(\w+)\(", text)]
    assert [(module, name) for module, name in used if name not in LISTED.get(module, ())] == []
