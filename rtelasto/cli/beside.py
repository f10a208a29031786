"""What ``rtelasto run`` can start beside itself: each the same as its own command, in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rtelasto.settings import RunSettings
from rtelasto.sidecar import Sidecar
from rtelasto.view import ViewSettings, open_viewer


@contextmanager
def parts_beside(settings: RunSettings, strain_endpoint: str) -> Iterator[list[Sidecar]]:
    """Start what the settings ask for; all of it is stopped at the end of the block.

    Raises
    ------
    RtelastoError
        If one of them cannot start.
    """
    strain = reachable(strain_endpoint)
    parts: list[Sidecar] = []
    with ExitStack() as stack:
        if settings.view:
            view = ViewSettings(strain=strain, host=settings.view_host, port=settings.view_port)
            parts.append(stack.enter_context(Sidecar("viewer", open_viewer, view)))
        yield parts


def reachable(endpoint: str) -> str:
    """Where to connect on this machine to what is bound to ``endpoint``, be it to all addresses."""
    for every in ("0.0.0.0", "*", "[::]"):
        endpoint = endpoint.replace(f"tcp://{every}:", "tcp://127.0.0.1:")
    return endpoint
