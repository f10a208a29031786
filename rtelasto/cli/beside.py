"""What ``rtelasto run`` can start beside itself: each the same as its own command, in its own process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rtelasto.errors import RtelastoError
from rtelasto.settings import RunSettings
from rtelasto.sidecar import Sidecar

log = logging.getLogger(__name__)


@contextmanager
def parts_beside(settings: RunSettings, strain_endpoint: str) -> Iterator[list[Sidecar]]:
    """Start what the settings ask for; all of it is stopped at the end of the block.

    A recorder that cannot start is only logged.

    Raises
    ------
    RtelastoError
        If another of them cannot start.
    """
    strain = reachable(strain_endpoint)
    parts: list[Sidecar] = []
    with ExitStack() as stack:
        # Loaded only where asked for: each brings libraries of its own.
        if settings.view:
            from rtelasto.view import ViewSettings, open_viewer

            view = ViewSettings(
                strain=strain,
                keys=settings.keys,
                host=settings.view_host,
                port=settings.view_port,
                stale_ms=settings.stale_ms,
            )
            parts.append(stack.enter_context(Sidecar("viewer", open_viewer, view)))
        if settings.igtl is not None:
            from rtelasto.igtl import IgtlServer, IgtlSettings

            igtl = IgtlSettings(strain=strain, keys=settings.keys, port=settings.igtl)
            parts.append(stack.enter_context(Sidecar("OpenIGTLink", IgtlServer, igtl)))
        if settings.record is not None:
            from rtelasto.record import Recorder, RecordSettings

            recording = RecordSettings(
                folder=settings.record, rf=settings.rf, strain=strain, keys=settings.keys
            )
            # The stream goes on without its recording rather than not at all.
            try:
                parts.append(stack.enter_context(Sidecar("recorder", Recorder, recording)))
            except RtelastoError as error:
                log.error("not recording: %s", error)
        yield parts


def reachable(endpoint: str) -> str:
    """Where to connect on this machine to what is bound to ``endpoint``, be it to all addresses."""
    for every in ("0.0.0.0", "*", "[::]"):
        endpoint = endpoint.replace(f"tcp://{every}:", "tcp://127.0.0.1:")
    return endpoint
