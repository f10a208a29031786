"""Wherever users meet strain images, they are told what these are not for."""

from __future__ import annotations

from pathlib import Path

import processes
import pytest

from rtelasto.notice import NOT_A_MEDICAL_DEVICE

ROOT = Path(__file__).parents[1]
READ = (
    "README.md",
    "docs/viewer.md",
    "docs/outputs.md",
    "bridge/README.md",
    "engines/models/cnn.md",
    "engines/models/cnn-lateral.md",
    "engines/models/cnn2.md",
    "engines/models/wu2018.md",
    "rtelasto/outputs/viewer/static/index.html",
)


@pytest.mark.parametrize("name", READ)
def test_pages_and_papers_say_it(name: str) -> None:
    words = (ROOT / name).read_text(encoding="utf-8").replace("**", "")
    assert NOT_A_MEDICAL_DEVICE.rstrip(".") in words


def test_every_model_has_a_card_that_says_it() -> None:
    models = (ROOT / "engines/models").glob("*.onnx")
    assert {f"engines/models/{path.stem}.md" for path in models} <= set(READ)


@pytest.mark.slow
@pytest.mark.parametrize("command", [("run", "--strain", "tcp://127.0.0.1:0", "--engine", "ncc"),
                                     ("view", "--port", "0"), ("igtl", "--port", "0")])  # fmt: skip
def test_what_shows_strain_begins_with_it(command: tuple[str, ...]) -> None:
    if command[0] == "view":
        pytest.importorskip("uvicorn", reason="the view extra is not installed")
    if command[0] == "igtl":
        pytest.importorskip("pyigtl", reason="the igtl extra is not installed")
    with processes.running(*command) as process:
        assert process.stderr is not None
        assert NOT_A_MEDICAL_DEVICE in process.stderr.readline()
