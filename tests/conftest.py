"""Shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """``shared_data(name)``: the path of a real recording, or a skip where it is not there."""

    def find(name: str) -> Path:
        path = _SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"shared data {name} is not on this machine")
        return path

    return find
