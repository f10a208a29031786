"""What is in examples/ runs: each as a process of its own, beside a real `rtelasto run` and a replay."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen
from xml.etree import ElementTree

import numpy as np
import processes
import pytest
from speckle import speckle_pair
from waiting import WAIT_S

from rtelasto import FrameStamp, RecordingWriter, RfFormat, RfFrame, StrainReceiver
from rtelasto.bench.rig import free_endpoint
from rtelasto.frames.strain import Elongation
from rtelasto.outputs.openigtlink import IgtlSettings

EXAMPLES = Path(__file__).parents[1] / "examples"
SUBSCRIBE = EXAMPLES / "subscribe"
FORMAT = RfFormat(
    n_lines=32, n_samples=640, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
PERIOD_NS = 50_000_000
# Kernels may have to be compiled first.
FIRST_FRAME_S = 300.0

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Live:
    """Where a live run is reached."""

    strain: str
    igtl: int
    metrics: int


def free_port() -> int:
    return int(free_endpoint().rpartition(":")[2])


def write_press(path: Path) -> None:
    """A recording of tissue that is compressed by 0.2 % from frame to frame, and released."""
    steps = [*range(8), *range(7, 0, -1)]
    with RecordingWriter(path, FORMAT) as writer:
        for k, step in enumerate(steps):
            strain = Elongation(axial_slope=-0.002 * step)
            pair = speckle_pair(np.random.default_rng(7), rf_format=FORMAT, elongation=strain)
            stamp = FrameStamp(k, k * PERIOD_NS)
            writer.write(RfFrame(pair.post.samples, FORMAT, stamp))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    pytest.importorskip("pyigtl", reason="the igtl extra is not installed")
    pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")
    press = tmp_path_factory.mktemp("recording") / "press.h5"
    write_press(press)
    rf, at = free_endpoint(), Live(free_endpoint(), free_port(), free_port())
    outputs = ("--igtl", at.igtl, "--metrics", at.metrics)
    with (
        processes.running("replay", press, "--loop", "--rf", rf, "--wait-s", FIRST_FRAME_S),
        processes.running("run", "--engine", "ncc", "--rf", rf, "--strain", at.strain, *outputs),
        StrainReceiver(at.strain) as receiver,
    ):
        assert receiver.get(FIRST_FRAME_S) is not None
        processes.wait_for_server(at.igtl)
        yield at


@contextmanager
def lines_of(*command: object) -> Iterator[Iterator[str]]:
    """What a program prints, line by line; it is killed at the end of the block."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        process.communicate()


def node() -> tuple[str, ...]:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    if not (SUBSCRIBE / "node_modules").is_dir():
        pytest.skip("run `npm install --prefix examples/subscribe`")
    return ("node",)


SUBSCRIBERS = {
    "with_rtelasto.py": lambda: (sys.executable,),
    "with_pyzmq.py": lambda: (sys.executable,),
    "with_node.mjs": node,
}


@pytest.mark.parametrize("name", SUBSCRIBERS)
def test_a_subscriber_prints_the_frames_of_a_live_run(name: str, live: Live) -> None:
    with lines_of(*SUBSCRIBERS[name](), SUBSCRIBE / name, live.strain) as lines:
        for _ in range(3):
            line = next(lines, "")
            found = re.fullmatch(
                r"frames (\d+) and (\d+): (\d+) x (\d+) pixels, "
                r"applied strain (-?[\d.]+) %, quality ([\d.]+)\n",
                line,
            )
            assert found, line + "".join(lines)
            pre, post, n_lines, n_depths = map(int, found.groups()[:4])
            assert pre < post
            assert n_lines == FORMAT.n_lines
            assert n_depths > 10
            assert abs(float(found[5])) < 3.0
            assert 0.0 < float(found[6]) <= 1.0


@pytest.mark.octave
def test_matlab_code_receives_the_images_in_octave(live: Live) -> None:
    if shutil.which("octave-cli") is None:
        pytest.skip("octave-cli is not installed (Debian: octave)")
    code = f"addpath('{SUBSCRIBE}'); rtelasto_images({live.igtl}, 9);"
    if "instrument-control" not in octave("pkg('list')"):
        pytest.skip("Octave's package is not installed (Debian: octave-instrument-control)")
    images = re.findall(
        r"^(\w+): (\d+) x (\d+) pixels of ([\d.]+) x ([\d.]+) mm, median (-?[\d.]+)$",
        octave(code),
        re.MULTILINE,
    )
    assert len(images) == 9
    assert {image[0] for image in images} == {"Strain", "RelativeStrain", "BMode"}
    for _, n_lines, _, pitch_mm, *_ in images:
        assert int(n_lines) == FORMAT.n_lines
        assert float(pitch_mm) == pytest.approx(1e3 * FORMAT.line_pitch_m, abs=1e-3)


def octave(code: str) -> str:
    done = subprocess.run(
        ["octave-cli", "--quiet", "--no-init-file", "--no-history", "--eval", code],
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def attributes(path: Path, tag: str) -> dict[str, str]:
    """Those of the one element of this name."""
    (element,) = ElementTree.parse(path).iter(tag)
    return element.attrib


def images_at(port: int, awaited: set[str]) -> set[str]:
    """The device names of the images that a client gets until it has got the awaited ones three times."""
    pyigtl = pytest.importorskip("pyigtl", reason="the igtl extra is not installed")
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    try:
        for name in sorted(awaited) * 3:
            assert client.wait_for_message(name, WAIT_S) is not None, name
        return awaited | {message.device_name for message in client.get_latest_messages()}
    finally:
        client.stop()


def test_the_scene_of_slicer_connects_to_where_the_images_are(live: Live) -> None:
    connector = attributes(EXAMPLES / "slicer" / "rtelasto.mrml", "IGTLConnector")
    assert connector["connectorType"] == "CLIENT"
    assert connector["serverHostname"] == IgtlSettings().host
    assert int(connector["serverPort"]) == IgtlSettings().port
    scene = (EXAMPLES / "slicer" / "rtelasto.mrml").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(Strain|RelativeStrain|BMode)\b", scene))
    assert images_at(live.igtl, named) == named


def test_plus_is_sent_the_one_kind_of_image_that_its_configuration_names(live: Live) -> None:
    path = EXAMPLES / "slicer" / "PlusDeviceSet_Server_rtelasto.xml"
    (only,) = re.findall(r'only = "(\w+)"', path.read_text(encoding="utf-8"))
    device = attributes(path, "Device")
    assert device["MessageType"] == "IMAGE"
    assert device["ServerAddress"] == IgtlSettings().host
    # Slicer's own port is PlusServer's.
    assert int(attributes(path, "PlusOpenIGTLinkServer")["ListeningPort"]) == IgtlSettings().port
    assert device["ServerPort"] != str(IgtlSettings().port)
    port = free_port()
    with processes.running("igtl", "--strain", live.strain, "--port", port, "--only", only):
        processes.wait_for_server(port)
        assert images_at(port, {only}) == {only}


def expressions() -> list[str]:
    """The queries of the dashboard."""
    board = json.loads((EXAMPLES / "monitoring" / "grafana.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_every_metric_of_the_dashboard_is_served(live: Live) -> None:
    with urlopen(f"http://127.0.0.1:{live.metrics}/metrics") as page:
        served = set(re.findall(r"^(?:# HELP )?(rtelasto_\w+)", page.read().decode(), re.MULTILINE))
    asked = {name for query in expressions() for name in re.findall(r"rtelasto_\w+", query)}
    assert len(asked) > 10
    assert asked <= served


def test_prometheus_answers_every_query_of_the_dashboard(live: Live, tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is not installed (Debian: prometheus)")
    config = (EXAMPLES / "monitoring" / "prometheus.yml").read_text(encoding="utf-8")
    mine = config.replace("127.0.0.1:9464", f"127.0.0.1:{live.metrics}")
    assert mine != config
    (tmp_path / "prometheus.yml").write_text(mine, encoding="utf-8")
    port = free_port()
    flags = {
        "config.file": tmp_path / "prometheus.yml",
        "storage.tsdb.path": tmp_path / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with lines_of("prometheus", *(f"--{name}={value}" for name, value in flags.items())):
        processes.wait_for_server(port)
        unanswered = expressions()
        # Has no series until a frame is lost.
        lost = [query for query in unanswered if "dropped_frames" in query]
        deadline = time.monotonic() + WAIT_S
        while unanswered:
            assert time.monotonic() < deadline, unanswered
            unanswered = [
                query for query in unanswered if not (answer(port, query) or query in lost)
            ]
            time.sleep(0.5)


def answer(port: int, query: str) -> list[object]:
    """What Prometheus has for a query now."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urlencode({"query": query})
    try:
        with urlopen(url) as page:
            found = json.load(page)
    except HTTPError as error:
        # Prometheus listens before it is ready to answer.
        if error.code != 503:
            raise
        return []
    assert found["status"] == "success"
    return list(found["data"]["result"])


def test_the_notebook_runs(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="the notebook extra is not installed")
    nbformat = pytest.importorskip("nbformat", reason="the notebook extra is not installed")
    pytest.importorskip("ipykernel", reason="the notebook extra is not installed")
    notebook = nbformat.read(EXAMPLES / "recording.ipynb", as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3
