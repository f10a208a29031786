"""Decides who may connect to a bound socket: answers ZeroMQ's authentication requests from the key folder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import zmq
from zmq.auth import Authenticator

from rtelasto.telemetry.logs import RateLimit, more
from rtelasto.transport.keys import KeyFolder

# The ZAP domain of the sockets. ZeroMQ asks for authentication only where a socket has one.
DOMAIN = "rtelasto"

log = logging.getLogger(__name__)


class AllowList:
    """A thread that accepts or refuses every CURVE client of ``context``.

    pyzmq's `Authenticator` speaks the protocol (ZAP, RFC 27). Its own thread is not used: it needs asyncio,
    and on Windows tornado, where a simple loop is enough. The folder is read at each handshake, so a key that
    is added or removed takes effect with the next connection, without a restart.

    Parameters
    ----------
    context
        Context of the sockets to guard. Create the list before they bind.
    keys
        The folder with the keys of the clients that are allowed.
    on_answer
        Called on this thread with each answer.
    """

    def __init__(
        self, context: zmq.Context, keys: KeyFolder, on_answer: Callable[[bool], None]
    ) -> None:
        self._keys = keys
        self._on_answer = on_answer
        self._log_limit = RateLimit()
        self._authenticator = Authenticator(context)
        self._authenticator.configure_curve_callback(DOMAIN, self)
        try:
            self._authenticator.start()
            self._stop = context.socket(zmq.PAIR)
            self._stop.bind("inproc://allow-list")
            self._stopper = context.socket(zmq.PAIR)
            self._stopper.connect("inproc://allow-list")
        except BaseException:
            # Close what is open: the process may have reached its limit of open files, for example.
            context.destroy(0)
            raise
        self._thread = threading.Thread(target=self._run, name="allow-list", daemon=True)
        self._thread.start()

    def callback(self, domain: str, client: bytes) -> bool:
        """Return whether the holder of the public key ``client`` may connect; called by pyzmq."""
        allowed = self._keys.allows(client)
        if not allowed and (held := self._log_limit.take(client)) is not None:
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
        """End the thread. Clients that connect after that are refused. May be called twice."""
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
                        # Without an answer the client stays out; without this thread, it might get in.
                        log.exception("could not answer for a client")
        finally:
            self._authenticator.stop()
            self._stop.close(0)

    def _answer(self, request: list[bytes]) -> None:
        # `handle_zap_message` is a coroutine because callbacks may be; ours is not, so it ends at once.
        answering = self._authenticator.handle_zap_message(request)
        try:
            answering.send(None)
        except StopIteration:
            return
        answering.close()
        raise RuntimeError("the authenticator did not answer at once")
