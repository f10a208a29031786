"""Which endpoints are taken for this machine's own: never one that another machine can reach."""

from __future__ import annotations

import ipaddress

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from rtelasto.errors import RtelastoError
from rtelasto.transport.endpoints import host_of, is_local
from rtelasto.transport.receivers import Receiver, StrainReceiver
from rtelasto.transport.rf_sender import RfSender
from rtelasto.transport.strain_publisher import StrainPublisher

LOCAL = (
    "tcp://127.0.0.1:5555",
    "tcp://127.8.9.10:0",
    "tcp://[::1]:5555",
    "tcp://localhost:5555",
    "ipc:///tmp/rf",
    "ipc://@rf",
    "inproc://rf",
)
NOT_LOCAL = (
    "tcp://*:5555",
    "tcp://0.0.0.0:5555",
    "tcp://[::]:5555",
    "tcp://:5555",
    "tcp://10.0.0.5:5555",
    "tcp://[fe80::1%eth0]:5555",
    "tcp://[::1%eth0]:5555",
    "tcp://[::ffff:127.0.0.1]:5555",
    "tcp://[::ffff:10.0.0.5]:5555",
    "tcp://eth0:5555",
    "tcp://lo:5555",
    "tcp://scanner:5555",
    "tcp://localhost.evil.example:5555",
    "tcp://127.0.0.1.evil.example:5555",
    "tcp://127.1:5555",
    "tcp://2130706433:5555",
    "tcp://0x7f000001:5555",
    "tcp://127.0.0.1:0;10.0.0.5:5555",
    "tcp://10.0.0.5:0;127.0.0.1:5555",
    "TCP://127.0.0.1:5555",
    "udp://127.0.0.1:5555",
    "127.0.0.1:5555",
    "",
)
TEXT = st.text(st.sampled_from("127.0:;[]*@%/xloeth localhost tcp"), max_size=24)
BOUND = st.one_of(
    st.builds("tcp://{}:0".format, st.ip_addresses(v=4)),
    st.builds("tcp://[{}]:0".format, st.ip_addresses(v=6)),
    st.builds("tcp://127.{}.{}.{}:0".format, *[st.integers(0, 255)] * 3),
    st.builds("tcp://{}:0".format, st.sampled_from(("*", "lo", "localhost", "::1", "[::1]"))),
    st.builds("tcp://{}:0".format, TEXT),
)


@pytest.mark.parametrize("endpoint", LOCAL)
def test_only_this_machine_reaches_these(endpoint: str):
    assert is_local(endpoint)


@pytest.mark.parametrize("endpoint", NOT_LOCAL)
def test_these_may_be_reached_from_elsewhere(endpoint: str):
    assert not is_local(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "host_and_port"),
    [
        ("tcp://10.0.0.5:5555", ("10.0.0.5", "5555")),
        ("tcp://[fe80::1]:5555", ("fe80::1", "5555")),
        ("tcp://10.0.0.1:0;scanner:5555", ("scanner", "5555")),
        ("ipc:///tmp/rf", ("", "")),
    ],
)
def test_the_host_is_the_one_that_is_connected_to(endpoint: str, host_and_port: tuple[str, str]):
    assert host_of(endpoint) == host_and_port


@settings(max_examples=300)
@given(BOUND)
def test_what_is_taken_for_local_is_bound_to_loopback_by_zeromq(endpoint: str):
    if not is_local(endpoint):
        return
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.ipv6 = True
        try:
            socket.bind(endpoint)
        except zmq.ZMQError:
            return  # no such address here: nobody reaches it
        bound, _ = host_of(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        address = ipaddress.ip_address(bound)
        mapped = getattr(address, "ipv4_mapped", None)
        assert (mapped or address).is_loopback


@given(st.ip_addresses())
def test_addresses_are_local_exactly_where_they_are_loopback(address):
    shown = f"[{address}]" if address.version == 6 else str(address)
    loopback = address.is_loopback if address.version == 4 else str(address) == "::1"
    assert is_local(f"tcp://{shown}:1") == loopback


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:0", "tcp://*:0", "tcp://10.0.0.5:5555"])
@pytest.mark.parametrize("kind", [RfSender, StrainPublisher, Receiver, StrainReceiver])
def test_without_keys_nothing_is_opened_there(kind, endpoint: str):
    with pytest.raises(RtelastoError, match="rtelasto keys FOLDER") as refused:
        kind(endpoint)
    assert endpoint in str(refused.value)
    assert "\n" not in str(refused.value)
