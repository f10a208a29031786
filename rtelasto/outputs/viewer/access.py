"""Who may open the WebSocket: pages from this server itself, with the token if one is required."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def refusal(
    headers: Mapping[str, str], given_token: str, *, token: str | None, loopback: bool
) -> str:
    """Return why a WebSocket handshake must be refused; empty if it may go on.

    A browser lets any page open a WebSocket to any address and only reports to the server which page it
    was, in ``Origin``. So ``Origin`` must match the address that the page requests (``Host``). A page
    elsewhere could still let its own name resolve to 127.0.0.1, so a server bound to loopback accepts
    loopback names only. Programs other than browsers send no ``Origin``.

    Parameters
    ----------
    headers
        Headers of the handshake, names in small letters.
    given_token
        The token that came with it.
    token
        The token that must come with it, None if none is required.
    loopback
        Whether the server is bound to loopback.
    """
    host = headers.get("host", "")
    origin = headers.get("origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        origin_host = None if origin is None else urlsplit(origin).netloc
    except ValueError:
        return "malformed Host or Origin"
    if loopback and name not in _LOOPBACK_NAMES:
        return "foreign host name"
    if origin_host is not None and origin_host != host:
        return "foreign origin"
    if token is not None and not hmac.compare_digest(given_token.encode(), token.encode()):
        return "wrong token"
    return ""
