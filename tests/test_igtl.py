"""OpenIGTLink output, read by a real pyigtl client."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import processes
import pytest
from waiting import WAIT_S

pyigtl = pytest.importorskip("pyigtl", reason="the igtl extra is not installed")

from rtelasto.bench.stages import timing_frames  # noqa: E402
from rtelasto.errors import RtelastoError  # noqa: E402
from rtelasto.frames.rf import Grid, RfFormat  # noqa: E402
from rtelasto.frames.strain import StrainFrame  # noqa: E402
from rtelasto.outputs.openigtlink import IgtlServer, IgtlSettings  # noqa: E402
from rtelasto.transport.receivers import StrainReceiver  # noqa: E402
from rtelasto.transport.rf_sender import RfSender  # noqa: E402
from rtelasto.transport.strain_publisher import StrainPublisher  # noqa: E402

GRID = Grid(10, 40, 7.7e-5, 2e-4, 1.5e-3)


def strain_frame(number: int, *, bmode: bool = True) -> StrainFrame:
    rng = np.random.default_rng(number)
    strain = rng.normal(-0.01, 0.002, GRID.shape).astype(np.float32)
    strain[4, 7] = np.nan
    return StrainFrame(
        strain,
        strain,
        np.ones(GRID.shape, np.float32),
        GRID,
        acquired_ns=time.monotonic_ns(),
        age_ns=0,
        bmode=rng.integers(0, 256, GRID.shape).astype(np.uint8) if bmode else None,
    )


@pytest.fixture
def publisher() -> Iterator[StrainPublisher]:
    with StrainPublisher("tcp://127.0.0.1:0", clock="monotonic") as opened:
        yield opened


@pytest.fixture
def server(publisher: StrainPublisher) -> Iterator[IgtlServer]:
    with IgtlServer(IgtlSettings(strain=publisher.endpoint, port=0)) as opened:
        assert publisher.wait_for_subscriber(WAIT_S)
        yield opened


@pytest.fixture
def client(server: IgtlServer) -> Iterator[Any]:
    opened = pyigtl.OpenIGTLinkClient(*server.address)
    assert server.counters.wait_for("clients", 1, WAIT_S)
    yield opened
    opened.stop()


def receive(client: Any, publisher: StrainPublisher, name: str, frame: StrainFrame) -> Any:
    """The first image of that name; the frame is sent until one comes, as live ones are."""
    for _ in range(600):
        publisher.write(frame.replace(age_ns=time.monotonic_ns() - frame.acquired_ns))
        message = client.wait_for_message(name, timeout=0.1)
        if message is not None:
            return message
    raise AssertionError(f"no {name} came")


def test_a_client_gets_strain_and_bmode_in_place(
    publisher: StrainPublisher, server: IgtlServer, client: Any
):
    frame = strain_frame(1)
    before = time.time()
    strain = receive(client, publisher, "Strain", frame)
    bmode = receive(client, publisher, "BMode", frame)
    assert strain.image.shape == bmode.image.shape == (1, GRID.n_depths, GRID.n_lines)
    expected = 100.0 * np.nan_to_num(frame.axial_strain)
    np.testing.assert_allclose(strain.image[0].T, expected, rtol=1e-6)
    np.testing.assert_array_equal(bmode.image[0].T, frame.bmode)
    for message in (strain, bmode):
        matrix = message.ijk_to_world_matrix
        for line, depth in ((0, 0), (9, 39), (4, 20)):
            x, y, z, _ = matrix @ [line, depth, 0, 1]
            assert x == pytest.approx(1e3 * GRID.lateral_m[line], abs=1e-4)
            assert y == pytest.approx(1e3 * GRID.depth_m[depth], abs=1e-4)
            assert z == pytest.approx(0.0, abs=1e-6)
        # The frame was made just before: its own time, not that of sending.
        age_s = (time.monotonic_ns() - frame.acquired_ns) / 1e9
        assert message.timestamp == pytest.approx(time.time() - age_s, abs=0.2)
        assert message.timestamp < before + 0.2


def test_a_stream_without_bmode_gives_strain_alone(publisher: StrainPublisher, client: Any):
    receive(client, publisher, "Strain", strain_frame(2, bmode=False))
    assert client.wait_for_message("BMode", timeout=0.0) is None


def test_with_only_one_kind_of_image_no_other_comes(publisher: StrainPublisher):
    with IgtlServer(IgtlSettings(strain=publisher.endpoint, port=0, only="BMode")) as server:
        assert publisher.wait_for_subscriber(WAIT_S)
        client = pyigtl.OpenIGTLinkClient(*server.address)
        assert server.counters.wait_for("clients", 1, WAIT_S)
        for number in range(3):
            assert receive(client, publisher, "BMode", strain_frame(number)).image.dtype == np.uint8
        assert client.wait_for_message("Strain", timeout=0.0) is None
        client.stop()


def test_a_client_that_takes_nothing_holds_nobody_up(
    publisher: StrainPublisher, server: IgtlServer, client: Any
):
    with socket.create_connection(server.address) as idle:
        assert server.counters.wait_for("clients", 2, WAIT_S)
        for number in range(5):
            message = receive(client, publisher, "Strain", strain_frame(number))
            assert message.image.size
        idle.sendall(b"GET_STATUS and other things that are passed over")
        receive(client, publisher, "Strain", strain_frame(9))


def test_clients_come_and_go(publisher: StrainPublisher, server: IgtlServer):
    for number in range(1, 4):
        client = pyigtl.OpenIGTLinkClient(*server.address)
        assert server.counters.wait_for("clients", number, WAIT_S)
        receive(client, publisher, "Strain", strain_frame(number))
        client.stop()


def test_ports_that_cannot_be(server: IgtlServer):
    with pytest.raises(RtelastoError, match=str(server.address[1])):
        IgtlServer(IgtlSettings(port=server.address[1]))
    with pytest.raises(RtelastoError, match="port"):
        IgtlSettings(port=70000)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_a_run_serves_slicer():
    rf_format = RfFormat(
        n_lines=24, n_samples=800, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
    )
    frames = timing_frames(rf_format)
    strain, port = f"tcp://127.0.0.1:{free_port()}", free_port()
    with (
        RfSender("tcp://127.0.0.1:0") as sender,
        StrainReceiver(strain) as receiver,
        processes.running(
            *("run", "--rf", sender.endpoint, "--strain", strain, "--engine", "ncc"),
            *("--igtl", str(port)),
        ) as run,
    ):
        assert receiver.counters.wait_for("statuses", 1, WAIT_S)
        client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
        images = {}
        for number in range(600):
            sender.send(frames[number % 2].samples, rf_format)
            for message in client.get_latest_messages():
                images[message.device_name] = message
            if len(images) == 3:
                break
            receiver.get(0.2)
        client.stop()
        run.send_signal(signal.SIGTERM)
        output, errors = run.communicate(timeout=WAIT_S)
    assert set(images) == {"Strain", "BMode", "RelativeStrain"}
    assert abs(np.median(images["Strain"].image)) == pytest.approx(0.5, abs=0.1)
    assert run.returncode == 0, errors
    assert f"OpenIGTLink at 127.0.0.1:{port}" in errors
    assert "images_sent" in output


@pytest.mark.parametrize("host", ["0.0.0.0", "", "10.0.0.5", "scanner"])
def test_other_machines_are_let_in_only_when_it_is_said(host: str) -> None:
    with pytest.raises(RtelastoError, match="--open-to-network"):
        IgtlSettings(host=host)
    assert IgtlSettings(host=host, open_to_network=True).host == host
    assert IgtlSettings(host="127.0.0.1").port == 18944
