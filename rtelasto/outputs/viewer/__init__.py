"""The live viewer: a web page that shows the strain stream, and its server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtelasto.errors import MissingExtraError
from rtelasto.outputs.viewer.settings import ViewSettings

if TYPE_CHECKING:
    from rtelasto.outputs.viewer.server import ViewServer

__all__ = ["ViewSettings", "open_viewer"]


def open_viewer(settings: ViewSettings) -> ViewServer:
    """Serve the viewer until it is closed.

    Raises
    ------
    MissingExtraError
        If its packages are not installed.
    RtelastoError
        If its address cannot be bound.
    """
    try:
        from rtelasto.outputs.viewer.server import ViewServer
    except ImportError:
        raise MissingExtraError("the viewer", "view") from None
    return ViewServer(settings)
