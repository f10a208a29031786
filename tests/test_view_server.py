"""The viewer's server: what pages get, who is let in, and that it stops."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import processes
import pytest
from waiting import WAIT_S

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.transport.strain_publisher import StrainPublisher
from rtelasto.wire.strain import Status

websockets = pytest.importorskip("websockets", reason="the view extra is not installed")
pytest.importorskip("uvicorn", reason="the view extra is not installed")
pytest.importorskip("starlette", reason="the view extra is not installed")

from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from rtelasto.outputs.viewer import ViewSettings, open_viewer  # noqa: E402
from rtelasto.outputs.viewer.access import refusal  # noqa: E402
from rtelasto.outputs.viewer.page_images import NO_STRAIN  # noqa: E402
from rtelasto.outputs.viewer.page_message import pack_status  # noqa: E402

GRID = Grid(6, 30, 1e-4, 3e-4, 2e-3)


def strain_frame(number: int, *, bmode: bool = True) -> StrainFrame:
    rng = np.random.default_rng(number)
    strain = rng.normal(-0.01, 0.002, GRID.shape).astype(np.float32)
    strain[2, 3] = np.nan
    return StrainFrame(
        axial_strain=strain,
        axial_displacement_m=strain,
        correlation=rng.uniform(0.5, 1.0, GRID.shape).astype(np.float32),
        grid=GRID,
        frame_ids=(number, number + 1),
        engine="ncc",
        quality=0.9,
        applied_strain=-0.01,
        drops={"gaps": 2},
        bmode=rng.integers(0, 256, GRID.shape).astype(np.uint8) if bmode else None,
    )


@pytest.fixture
def publisher() -> Iterator[StrainPublisher]:
    with StrainPublisher("tcp://127.0.0.1:0") as opened:
        yield opened


@pytest.fixture
def server(publisher: StrainPublisher) -> Iterator[Any]:
    with open_viewer(ViewSettings(strain=publisher.endpoint, port=0)) as opened:
        assert publisher.wait_for_subscriber(WAIT_S)
        yield opened


def stream_of(address: str) -> str:
    return re.sub(r"^http://([^/]+)/", r"ws://\1/stream", address)


class PageClient:
    """A page without a browser: keeps what it is sent apart by kind."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.statuses: list[dict[str, Any]] = []

    async def grant(self, now_ms: float = 1.0) -> None:
        await self._socket.send(json.dumps({"now_ms": now_ms}))

    async def frame(self) -> tuple[dict[str, Any], bytes]:
        while True:
            message = await asyncio.wait_for(self._socket.recv(), WAIT_S)
            if isinstance(message, bytes):
                return unpack(message)
            self.statuses.append(json.loads(message))

    async def status(self) -> dict[str, Any]:
        while True:
            message = await asyncio.wait_for(self._socket.recv(), WAIT_S)
            if isinstance(message, str):
                return json.loads(message)  # type: ignore[no-any-return]
            raise AssertionError("a frame came without a credit")


async def close_code(socket: Any) -> int:
    """Read to the end; the code with which the server closed."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), WAIT_S)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 0


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack("<I", message[:4])
    assert size % 8 == 0
    return json.loads(message[8 : 8 + size]), message[8 + size :]


def test_a_page_gets_the_images_as_they_are(publisher: StrainPublisher, server: Any):
    async def page() -> tuple[dict[str, Any], bytes]:
        async with connect(stream_of(server.address)) as socket:
            client = PageClient(socket)
            await client.grant(now_ms=123.5)
            publisher.write(strain_frame(3))
            return await client.frame()

    header, images = asyncio.run(page())
    frame = strain_frame(3)
    count = frame.axial_strain.size
    strain = np.frombuffer(images, "<i2", count).reshape(GRID.shape)
    correlation = np.frombuffer(images, np.uint8, count, 2 * count).reshape(GRID.shape)
    bmode = np.frombuffer(images, np.uint8, count, 3 * count).reshape(GRID.shape)
    assert len(images) == 4 * count
    assert strain[2, 3] == NO_STRAIN
    known = np.isfinite(frame.axial_strain)
    np.testing.assert_allclose(
        strain[known] * header["strain_scale"],
        frame.axial_strain[known],
        atol=0.51 * header["strain_scale"] + 1e-9,
    )
    assert header["strain_scale"] < 1e-6
    np.testing.assert_allclose(correlation / 255.0, frame.correlation, atol=0.51 / 255.0)
    np.testing.assert_array_equal(bmode, frame.bmode)
    assert (header["n_lines"], header["n_depths"]) == GRID.shape
    assert header["axial_step_m"] == GRID.axial_step_m
    assert header["frame_ids"] == [3, 4]
    assert header["credit_ms"] == 123.5
    assert 0.0 <= header["age_ms"] < 1e3 * WAIT_S
    assert (header["age_from"], header["stale"]) == ("arrival", False)
    assert 0.0 <= header["held_ms"] < 1e3 * WAIT_S


def test_a_page_is_told_how_old_a_frame_is_and_that_it_was_published_late(
    publisher: StrainPublisher, server: Any
):
    async def page() -> dict[str, Any]:
        async with connect(stream_of(server.address)) as socket:
            client = PageClient(socket)
            await client.grant()
            publisher.write(strain_frame(1).replace(age_ns=3_000_000_000, stale=True))
            header, _ = await client.frame()
            return header

    header = asyncio.run(page())
    assert (header["age_from"], header["stale"]) == ("acquisition", True)
    assert 3000.0 <= header["age_ms"] < 3000.0 + 1e3 * WAIT_S


def test_a_page_gets_one_frame_a_credit_and_always_the_newest(
    publisher: StrainPublisher, server: Any
):
    async def page() -> list[int]:
        async with connect(stream_of(server.address)) as socket:
            client = PageClient(socket)
            await client.grant()
            publisher.write(strain_frame(0))
            first, _ = await client.frame()
            # Without a credit: nothing but statuses, however many frames there are.
            for number in range(1, 6):
                publisher.write(strain_frame(number, bmode=False))
                assert server.counters.wait_for("received", number + 1, WAIT_S)
            await client.status()
            await client.grant()
            second, images = await client.frame()
            assert [name for name, _ in second["images"]] == ["strain", "correlation"]
            assert len(images) == 3 * GRID.n_lines * GRID.n_depths
            return [first["seq"], second["seq"]]

    assert asyncio.run(page()) == [0, 5]
    assert server.counters["frames_sent"] == 2


def test_a_page_that_does_not_read_holds_nobody_up(publisher: StrainPublisher, server: Any):
    async def pages() -> list[int]:
        address = stream_of(server.address)
        async with connect(address) as idle, connect(address) as busy:
            await idle.send(json.dumps({"now_ms": 0.0}))
            client, seen = PageClient(busy), []
            for number in range(20):
                await client.grant()
                publisher.write(strain_frame(number))
                header, _ = await client.frame()
                seen.append(header["seq"])
            return seen

    assert asyncio.run(pages()) == list(range(20))


@pytest.mark.parametrize(
    "text",
    [
        *("", "nonsense", "[]", "{}", '{"now_ms": "x"}', '{"now_ms": NaN}'),
        pytest.param(b'{"now_ms": 1.0}', id="bytes"),
        pytest.param("[" * 2000 + "]" * 2000, id="deep"),
        pytest.param('{"now_ms": ' + "9" * 400 + "}", id="400 digits"),
        pytest.param('{"now_ms": ' + "[" * 1800 + "}", id="deep and open"),
    ],
)
def test_a_page_that_talks_nonsense_is_sent_away(server: Any, text: str | bytes):
    async def page() -> int:
        async with connect(stream_of(server.address)) as socket:
            await socket.send(text)
            return await close_code(socket)

    assert asyncio.run(page()) == 1003


def attempt(address: str, **headers: str) -> int:
    """HTTP status of a WebSocket handshake: 101 where it is accepted."""

    async def handshake() -> int:
        try:
            async with connect(address, additional_headers=headers):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    return asyncio.run(handshake())


def test_foreign_pages_are_refused(server: Any):
    address = stream_of(server.address)
    own = address.removeprefix("ws://").removesuffix("/stream")
    assert attempt(address, Origin=f"http://{own}") == 101
    assert attempt(address) == 101
    for origin in (
        "http://evil.example",
        "null",
        f"http://{own}.evil.example",
        "http://127.0.0.1:1",
    ):
        assert attempt(address, Origin=origin) == 403
    assert server.counters["pages_refused"] == 4


def test_names_that_only_resolve_to_loopback_are_refused():
    rebound = {"host": "evil.example:8765", "origin": "http://evil.example:8765"}
    assert refusal(rebound, "", token=None, loopback=True) == "foreign host name"
    assert refusal({"host": "[::1]:8765"}, "", token=None, loopback=True) == ""
    assert refusal({"host": "localhost:8765"}, "", token=None, loopback=True) == ""
    assert refusal({}, "", token=None, loopback=True)
    assert refusal({"host": "["}, "", token=None, loopback=True)


def test_a_token_is_asked_for(publisher: StrainPublisher):
    settings = ViewSettings(strain=publisher.endpoint, port=0, token="correct horse")
    with open_viewer(settings) as server:
        assert server.address.endswith("?token=correct horse".replace(" ", "%20"))
        address = stream_of(server.address.partition("?")[0])
        assert attempt(address) == 403
        assert attempt(f"{address}?token=wrong") == 403
        assert attempt(f"{address}?token=correct%20horse") == 101


def test_a_token_is_made_where_other_machines_can_reach_it(publisher: StrainPublisher):
    with open_viewer(ViewSettings(strain=publisher.endpoint, port=0, host="0.0.0.0")) as server:
        assert len(server.address.partition("?token=")[2]) >= 20
    assert ViewSettings(host="::1").is_loopback
    assert ViewSettings(host="localhost").is_loopback
    assert not ViewSettings(host="192.168.0.7").is_loopback


@pytest.mark.parametrize("wrong", [{"port": 70000}, {"port": -1}, {"host": ""}, {"token": "short"}])
def test_wrong_settings_are_named(wrong: dict[str, Any]):
    with pytest.raises(RtelastoError, match=next(iter(wrong))):
        ViewSettings(**wrong)


def test_a_taken_port_is_one_line(server: Any):
    port = int(re.search(r":(\d+)/", server.address)[1])  # type: ignore[index]
    done = processes.finish("view", "--port", str(port))
    assert done.returncode == 2
    assert str(port) in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_page_and_its_modules_are_served_and_kept_to_themselves(server: Any):
    with urlopen(server.address) as answer:
        page = answer.read().decode()
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "Not a medical device" in page
    static = Path(__file__).parents[1] / "rtelasto" / "outputs" / "viewer" / "static"
    for module in static.glob("*.js"):
        with urlopen(server.address + module.name) as answer:
            assert "javascript" in answer.headers["content-type"]
            assert answer.read() == module.read_bytes()


def test_a_status_names_what_was_lost():
    status = Status(
        "s", 0, 0, {"received": 20.0, "latency_p50_ms": float("nan")}, {"gaps": 3, "x": 1}
    )
    told = json.loads(pack_status(status, {"lost_on_wire": 2, "pages": 1}, 250.0))
    assert told["losses"] == {"not_sent": 3, "to_viewer": 2}
    assert told["stale_ms"] == 250.0
    assert told["pipeline"]["rates"] == {"received": 20.0, "latency_p50_ms": None}
    assert json.loads(pack_status(None, {}, 250.0))["pipeline"] is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_with_a_page_connected(publisher: StrainPublisher, number: signal.Signals):
    with processes.running("view", "--strain", publisher.endpoint, "--port", "0") as viewer:
        assert viewer.stderr is not None
        found = None
        while found is None:
            line = viewer.stderr.readline()
            assert line, "the viewer ended before it served"
            found = re.search(r"http://\S+/", line)

        async def page() -> int:
            async with connect(stream_of(found[0])) as socket:
                await PageClient(socket).status()
                viewer.send_signal(number)
                return await close_code(socket)

        assert asyncio.run(page()) in (1001, 1012)
        assert viewer.wait(WAIT_S) == 0
