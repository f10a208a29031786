"""The source of the engines: networks, simulator, training, export, and the shipped ONNX files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtelasto.frames.strain import DEFAULT_ENGINE

_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """An ONNX file of this package and its model card (same name, ``.md``)."""

    name: str
    path: Path

    @property
    def half_path(self) -> Path:
        """Its half-precision variant for GPUs (``rtelasto_engines.half``)."""
        return self.path.parent / "fp16" / self.path.name

    @property
    def stages(self) -> tuple[Path, ...]:
        """Both stages as separate files, of a network that can be separated; otherwise nothing."""
        folder = self.path.parent / "stages"
        paths = tuple(folder / f"{self.name}.{stage}.onnx" for stage in ("tracking", "strain"))
        return paths if all(path.exists() for path in paths) else ()

    @property
    def card(self) -> Path:
        return self.path.with_suffix(".md")

    @property
    def summary(self) -> str:
        """The summary from the model card: its first line that is not a heading."""
        for line in self.card.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                return line.strip()
        return self.name


def shipped_models() -> dict[str, ShippedModel]:
    """Return the ONNX files of the package by name, the default engine first."""
    paths = sorted(
        _MODELS.glob("*.onnx"), key=lambda path: (path.stem != DEFAULT_ENGINE, path.stem)
    )
    return {path.stem: ShippedModel(path.stem, path) for path in paths}
