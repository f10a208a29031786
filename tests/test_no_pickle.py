"""Nothing that is read from outside can run code: no pickles, no eval, anywhere in what is shipped."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("rtelasto", "engines", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
# Modules whose readers run what a file tells them to.
PICKLING = {
    "pickle",
    "cPickle",
    "_pickle",
    "shelve",
    "marshal",
    "dill",
    "cloudpickle",
    "joblib",
    "yaml",
}
# Readers that do so unless told not to, and what tells them.
GUARDED = {
    ("np", "load"): ("allow_pickle", False),
    ("numpy", "load"): ("allow_pickle", False),
    ("format", "read_array"): ("allow_pickle", False),
    ("torch", "load"): ("weights_only", True),
}
FORBIDDEN = {"eval", "exec", "compile", "recv_pyobj", "send_pyobj", "__import__"}


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name for name in names if name.split(".")[0] in PICKLING)
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN:
            yield node.func.id
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value
            last = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if node.func.attr in ("recv_pyobj", "send_pyobj"):
                yield node.func.attr
            wanted = GUARDED.get((last, node.func.attr))
            given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if wanted is not None and given.get(wanted[0], "absent") is not wanted[1]:
                yield f"{last}.{node.func.attr} without {wanted[0]}={wanted[1]}"


def test_no_source_loads_code():
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(FOLDERS)
    found = {
        str(path.relative_to(ROOT)): names
        for path in SOURCES
        if (names := list(faults(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(file)",
        "torch.load(path)",
        "eval(text)",
        "socket.recv_pyobj()",
    ],
)
def test_the_search_finds_what_it_is_for(code: str):
    assert list(faults(ast.parse(code)))
