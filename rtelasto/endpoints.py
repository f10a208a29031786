"""Which ZeroMQ endpoints only this machine can reach."""

from __future__ import annotations

import ipaddress
import socket

UNSHARED = ("ipc://", "inproc://")


def host_of(endpoint: str) -> tuple[str, str]:
    """Host and port of a tcp endpoint, as they stand in it, brackets of IPv6 taken off.

    Of ``tcp://SOURCE;HOST:PORT`` it is the host that is connected to. Both are empty where ``endpoint``
    is none of tcp.
    """
    scheme, _, address = endpoint.partition("://")
    if scheme != "tcp":
        return "", ""
    host, _, port = address.rpartition(";")[2].rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def is_local(endpoint: str) -> bool:
    """True only where it is certain that no other machine can reach ``endpoint``, or be it.

    That is ipc, inproc, and tcp with 127.0.0.0/8, ::1 or a ``localhost`` that stands for nothing else
    here. Every other name, an interface's (``lo``, ``eth0``) included, may come to mean another address.
    """
    if endpoint.startswith(UNSHARED):
        return True
    host, _ = host_of(endpoint)
    return is_loopback_host(host) and ";" not in endpoint


def is_loopback_host(host: str) -> bool:
    """Whether ``host`` is a loopback address, or ``localhost`` and that stands for nothing else here."""
    if host == "localhost":
        return _localhost_is_loopback()
    return _is_loopback_address(host)


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # Neither ::ffff:127.0.0.1 nor ::1%eth0, of which systems and Python versions think differently.
    return address.is_loopback if address.version == 4 else text == "::1"


def _localhost_is_loopback() -> bool:
    try:
        found = socket.getaddrinfo("localhost", None)
    except OSError:
        return False
    return all(_is_loopback_address(str(address[0])) for *_, address in found)
