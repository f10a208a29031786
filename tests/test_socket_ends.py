"""Sockets that cannot be opened end at once, in one line; IPv6 addresses work like others."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import numpy as np
import processes
import pytest
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.transport.keys import KeyFolder
from rtelasto.transport.receivers import Receiver
from rtelasto.transport.rf_sender import RfSender

FORMAT = RfFormat(
    n_lines=4, n_samples=512, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    KeyFolder.make(folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o664, 0o666])
@pytest.mark.parametrize("command", ["run", "record", "view", "igtl"])
def test_a_server_key_that_others_can_write_is_refused_in_a_line(keys, tmp_path, mode, command):
    module = {"view": "uvicorn", "igtl": "pyigtl", "record": "hdf5plugin", "run": "numpy"}[command]
    pytest.importorskip(module, reason=f"the {command} extra is not installed")
    known = KeyFolder.open(keys).trust("127.0.0.1", keys / "own.key")
    known.chmod(mode)
    flags = {
        "run": ("--rf", free_endpoint(), "--strain", free_endpoint(), "--engine", "ncc"),
        "record": (str(tmp_path / "scan"), "--rf", free_endpoint()),
        "view": ("--port", "0", "--strain", free_endpoint()),
        "igtl": ("--port", "0", "--strain", free_endpoint()),
    }[command]
    ended = processes.finish(command, *flags, "--keys", str(keys))
    assert ended.returncode == 2
    assert f"{known} is open to other users (mode {mode:04o})" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_an_ipv6_zone_with_keys_does_not_hang(keys: Path):
    # Whether a link-local address can be connected to is for the network to say; it must not block here.
    with suppress(RtelastoError):
        Receiver("tcp://[fe80::1%eth0]:5555", keys=keys).close()


def test_no_socket_is_left_open_by_an_endpoint_that_is_none(keys: Path):
    for endpoint in ("tcp://127.0.0.1:99999", "tcp://nonsense", "tcp://127.0.0.1:port"):
        for opened in (Receiver, RfSender):
            with pytest.raises(RtelastoError):
                opened(endpoint, keys=keys)


@ipv6
@pytest.mark.parametrize("with_keys", [False, True])
def test_frames_go_over_ipv6(keys: Path, with_keys: bool):
    folder = keys if with_keys else None
    samples = np.arange(2048, dtype=np.int16).reshape(4, 512)
    with (
        RfSender("tcp://[::1]:0", keys=folder) as sender,
        Receiver(sender.endpoint, policy="every", keys=folder) as receiver,
    ):
        assert sender.endpoint.startswith("tcp://[::1]:")
        assert sender.wait_for_subscriber(WAIT_S)
        sender.send(samples, FORMAT)
        frame = receiver.get(WAIT_S)
        assert frame is not None
        np.testing.assert_array_equal(frame.samples, samples)


@ipv6
@pytest.mark.parametrize("command", ["view", "igtl"])
def test_servers_listen_on_ipv6(command: str):
    if command == "igtl":
        pytest.importorskip("pyigtl", reason="the igtl extra is not installed")
        from rtelasto.outputs.openigtlink import IgtlServer, IgtlSettings

        with IgtlServer(IgtlSettings(strain=free_endpoint(), host="::1", port=0)) as server:
            assert f"[::1]:{server.address[1]}" in server.ready
            socket.create_connection(("::1", server.address[1]), WAIT_S).close()
    else:
        pytest.importorskip("uvicorn", reason="the view extra is not installed")
        from rtelasto.outputs.viewer import ViewSettings, open_viewer

        with open_viewer(ViewSettings(strain=free_endpoint(), host="::1", port=0)) as viewer:
            assert viewer.address.startswith("http://[::1]:")
            port = int(viewer.address.rpartition(":")[2].strip("/"))
            socket.create_connection(("::1", port), WAIT_S).close()


def test_a_taken_address_is_named_with_its_brackets():
    from rtelasto.transport.endpoints import listen

    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(RtelastoError, match=rf"cannot bind a server to 127\.0\.0\.1:{port}"):
            listen("a server", "127.0.0.1", port)
