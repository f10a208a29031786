"""Who may connect to a bound socket: answers ZeroMQ's authentication requests from the key folder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import zmq
from zmq.auth import Authenticator

from rtelasto.telemetry.logs import RateLimit, more
from rtelasto.transport.keys import KeyFolder

# ZeroMQ asks for a domain by name; that the socket has one is what makes it ask at all.
DOMAIN = "rtelasto"

log = logging.getLogger(__name__)


class AllowList:
    """A thread that answers for every CURVE client of ``context`` whether it may enter.

    The protocol (ZAP, RFC 27) is pyzmq's `Authenticator`; its own thread needs asyncio, and on Windows
    tornado, for what a loop does. The folder is read at each handshake, so a key that is put into it or
    taken from it counts from the next connection on, without a restart.

    Parameters
    ----------
    context
        Context of the sockets that are to be guarded; must be started before they bind.
    keys
        The folder that says who is allowed.
    on_answer
        Called on this thread with each answer.
    """

    def __init__(
        self, context: zmq.Context, keys: KeyFolder, on_answer: Callable[[bool], None]
    ) -> None:
        self._keys = keys
        self._on_answer = on_answer
        self._told = RateLimit()
        self._authenticator = Authenticator(context)
        self._authenticator.configure_curve_callback(DOMAIN, self)
        try:
            self._authenticator.start()
            self._stop = context.socket(zmq.PAIR)
            self._stop.bind("inproc://allow-list")
            self._stopper = context.socket(zmq.PAIR)
            self._stopper.connect("inproc://allow-list")
        except BaseException:
            # Whatever is open of them: no more files than a process may have, say.
            context.destroy(0)
            raise
        self._thread = threading.Thread(target=self._run, name="allow-list", daemon=True)
        self._thread.start()

    def callback(self, domain: str, client: bytes) -> bool:
        """What pyzmq asks: whether the holder of the public key ``client`` may enter."""
        allowed = self._keys.allows(client)
        if not allowed and (held := self._told.take(client)) is not None:
            log.warning(
                "refused the key %s, which is not in %s%s",
                client.decode(),
                self._keys.path / "clients",
                more(held),
                extra={"cause": ("refused key", client)},
            )
        self._on_answer(allowed)
        return allowed

    def close(self) -> None:
        """End the thread. Whoever connects after that is kept out. May be called twice."""
        if not self._stopper.closed:
            self._stopper.send(b"")
            self._thread.join()
            self._stopper.close(0)

    def _run(self) -> None:
        requests = self._authenticator.zap_socket
        poller = zmq.Poller()
        poller.register(self._stop, zmq.POLLIN)
        poller.register(requests, zmq.POLLIN)
        try:
            while self._stop not in (ready := dict(poller.poll())):
                if requests in ready:
                    try:
                        self._answer(requests.recv_multipart())
                    except Exception:
                        # Without an answer nobody gets in; without this thread, perhaps anybody.
                        log.exception("could not answer for a client")
        finally:
            self._authenticator.stop()
            self._stop.close(0)

    def _answer(self, request: list[bytes]) -> None:
        # It is a coroutine for the sake of callbacks that are; ours is not, so that it ends at once.
        answering = self._authenticator.handle_zap_message(request)
        try:
            answering.send(None)
        except StopIteration:
            return
        answering.close()
        raise RuntimeError("the authenticator waits for something")
