"""The parts that ``rtelasto run`` can start beside itself, each in a process, as its own command does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rtelasto.live.sidecar import Sidecar
from rtelasto.settings import RunSettings


@contextmanager
def parts_beside(settings: RunSettings, strain_endpoint: str) -> Iterator[list[Sidecar]]:
    """Start the parts that the settings ask for, at once and without waiting; stop them at the end of
    the block.

    A part that cannot start does not affect the others; `Sidecar.look` gives the reason.
    """
    strain = reachable(strain_endpoint)
    parts: list[Sidecar] = []
    with ExitStack() as stack:
        # Imported only where needed: each part has libraries of its own.
        if settings.view:
            from rtelasto.outputs.viewer import ViewSettings, open_viewer

            view = ViewSettings(
                strain=strain,
                keys=settings.keys,
                host=settings.view_host,
                port=settings.view_port,
                stale_ms=settings.stale_ms,
            )
            parts.append(stack.enter_context(Sidecar("viewer", open_viewer, view)))
        if settings.igtl is not None:
            from rtelasto.outputs.openigtlink import IgtlServer, IgtlSettings

            igtl = IgtlSettings(strain=strain, keys=settings.keys, port=settings.igtl)
            parts.append(stack.enter_context(Sidecar("OpenIGTLink", IgtlServer, igtl)))
        if settings.record is not None:
            from rtelasto.outputs.recorder import Recorder, RecordSettings

            recording = RecordSettings(
                folder=settings.record, rf=settings.rf, strain=strain, keys=settings.keys
            )
            parts.append(stack.enter_context(Sidecar("recorder", Recorder, recording)))
        yield parts


def reachable(endpoint: str) -> str:
    """The endpoint at which a client on this machine reaches a server that is bound to ``endpoint``."""
    for every in ("0.0.0.0", "*", "[::]"):
        endpoint = endpoint.replace(f"tcp://{every}:", "tcp://127.0.0.1:")
    return endpoint
