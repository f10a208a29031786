"""``rtelasto engines``: which engines there are."""

from __future__ import annotations

from rtelasto.cli.terminal import console
from rtelasto.registry import engine_names


def engines() -> None:
    """List the engines that --engine can name."""
    for name, summary in engine_names().items():
        console.print(f"{name:6} {summary}", soft_wrap=True)
