"""Addresses: which endpoints only this machine can reach, and where a server listens."""

from __future__ import annotations

import ipaddress
import socket

from rtelasto.errors import RtelastoError

UNSHARED = ("ipc://", "inproc://")


def host_of(endpoint: str) -> tuple[str, str]:
    """Host and port of a tcp endpoint, as written in it, without the brackets of IPv6.

    For ``tcp://SOURCE;HOST:PORT`` it is the host to connect to. Both are empty for any other transport.
    """
    scheme, _, address = endpoint.partition("://")
    if scheme != "tcp":
        return "", ""
    host, _, port = address.rpartition(";")[2].rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def is_local(endpoint: str) -> bool:
    """True only where ``endpoint`` is certainly on this machine and out of reach of any other.

    That is ipc, inproc, and tcp with 127.0.0.0/8, ::1 or a ``localhost`` that resolves to these only. Any
    other name, including an interface's (``lo``, ``eth0``), may resolve to another address later.
    """
    if endpoint.startswith(UNSHARED):
        return True
    host, _ = host_of(endpoint)
    return is_loopback_host(host) and ";" not in endpoint


def is_loopback_host(host: str) -> bool:
    """Whether ``host`` is a loopback address, or ``localhost`` where that resolves to loopback only."""
    if host == "localhost":
        return _localhost_is_loopback()
    return _is_loopback_address(host)


def listen(what: str, host: str, port: int) -> socket.socket:
    """A listening TCP socket at an address or a name of this machine, IPv4 or IPv6; port 0 takes a free one.

    Raises
    ------
    RtelastoError
        If it cannot be bound; ``what`` names the server in the message.
    """
    try:
        # An address may be IPv4 or IPv6; a name may have several addresses.
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        raise RtelastoError(
            f"cannot bind {what} to {in_url(host)}:{port} ({error.strerror or error}): "
            "give a free port, or an address of this machine as host"
        ) from error


def in_url(host: str) -> str:
    """``host`` as written before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # Not ::ffff:127.0.0.1 or ::1%eth0: systems and Python versions treat these differently.
    return address.is_loopback if address.version == 4 else text == "::1"


def _localhost_is_loopback() -> bool:
    try:
        found = socket.getaddrinfo("localhost", None)
    except OSError:
        return False
    return all(_is_loopback_address(str(address[0])) for *_, address in found)
