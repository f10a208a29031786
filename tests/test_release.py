"""What a release consists of: sdist and wheel, citation, conda recipe; its version stands in setup.cfg."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "conda-recipe" / "recipe.yaml"
# Of Keep a Changelog 1.1.0.
CHANGES = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
# What conda-forge calls otherwise.
CONDA_NAMES = {"msgpack": "msgpack-python"}


@pytest.fixture(scope="module")
def metadata() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def run(module: str, *arguments: object) -> None:
    command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_files_of_a_release_are_complete_and_pass_twine(
    metadata: configparser.ConfigParser, tmp_path: Path
) -> None:
    for name in ("build", "twine"):
        pytest.importorskip(name, reason="the release extra is not installed")
    source, dist = tmp_path / "source", tmp_path / "dist"
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=False
    ).stdout.split(b"\0")
    if not tracked[0]:
        pytest.skip("this is not a checkout with git")
    for name in filter(None, map(bytes.decode, tracked)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    # As `make dist` does: the wheel is built from the sdist.
    run("build", "--no-isolation", "--outdir", dist, source)
    run("twine", "check", "--strict", *dist.iterdir())
    version = metadata["metadata"]["version"]
    with tarfile.open(dist / f"rtelasto-{version}.tar.gz") as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "engines/models/cnn.onnx", "rtelasto/py.typed"} <= packed
    with zipfile.ZipFile(dist / f"rtelasto-{version}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rtelasto").rglob("*.py")}
    assert modules <= names
    assert "rtelasto_engines/models/cnn.onnx" in names


def test_the_citation_is_valid_and_repeats_no_version() -> None:
    citation = pytest.importorskip("cffconvert.citation", reason="the release extra is missing")
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    citation.Citation(text).validate()
    assert "\nversion:" not in text


def test_the_conda_recipe_is_one_and_needs_what_setup_cfg_says(
    metadata: configparser.ConfigParser,
) -> None:
    rattler = pytest.importorskip("rattler_build", reason="the release extra is not installed")
    recipe = rattler.Stage0Recipe.from_file(RECIPE)
    (variant,) = recipe.render()
    rendered = variant.recipe.to_dict()
    assert rendered["package"]["version"] == metadata["metadata"]["version"]
    wanted = {
        re.sub(r"^[\w-]+", lambda found: CONDA_NAMES.get(found[0], found[0]), line)
        for line in metadata["options"]["install_requires"].split()
    }
    python = "python" + metadata["options"]["python_requires"]
    stated = {line.replace(" ", "") for line in rendered["requirements"]["run"]}
    assert stated == wanted | {python}


def test_the_changelog_keeps_to_its_form(metadata: configparser.ConfigParser) -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    version = re.escape(metadata["metadata"]["version"])
    assert re.fullmatch(rf"## \[{version}\] - (\d{{4}}-\d\d-\d\d|not released)", versions[1])
    kinds = {line for line in lines if line.startswith("### ")}
    assert kinds <= {f"### {kind}" for kind in CHANGES}
