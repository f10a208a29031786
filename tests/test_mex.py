"""The MEX sender in a real Octave: bytes on the wire, every frame at scanner speed, every bad call."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import octave
import pytest
import zmq
from waiting import WAIT_S
from wire_vectors import vector

from rtelasto.transport.keys import KeyFolder
from rtelasto.transport.receivers import Receiver

pytestmark = pytest.mark.octave

LOOPBACK = "tcp://127.0.0.1:{}"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return octave.build_bridge(tmp_path_factory.mktemp("mex"))


@pytest.fixture
def endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return LOOPBACK.format(probe.getsockname()[1])


def test_the_mex_writes_the_test_vectors_byte_for_byte(bridge: Path, endpoint: str) -> None:
    names = (
        "rf_int16.hex",
        "rf_float32.hex",
        "rf_200_lines.hex",
        "rf_iq.hex",
        "rf_iq.hex",
        "rf_channel.hex",
        "rf_channel.hex",
        "rf_channel_focused.hex",
    )
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        subscriber.setsockopt(zmq.RECONNECT_IVL, 20)
        subscriber.subscribe("rf")
        subscriber.connect(endpoint)
        process = octave.start(bridge, f"send_vectors('{endpoint}');")
        for name in names:
            assert subscriber.poll(int(WAIT_S * 1e3)), f"{name} did not come"
            assert subscriber.recv_multipart() == vector(name), name
        octave.finish(process)


def test_every_frame_at_100_a_second_for_10_s_arrives_byte_for_byte(
    bridge: Path, endpoint: str
) -> None:
    n_frames, n_samples, n_lines = 1000, 2608, 128
    base = np.mod(np.arange(n_samples * n_lines), 30011).reshape(n_lines, n_samples)
    expected = [(base + 131 * k).astype(np.int16) for k in range(1, 17)]
    with Receiver(endpoint, policy="every") as receiver:
        process = octave.start(
            bridge, f"send_paced('{endpoint}', {n_frames}, {n_samples}, {n_lines}, 100, true);"
        )
        for i in range(n_frames):
            frame = receiver.get(WAIT_S)
            assert frame is not None, f"frame {i} did not come"
            assert frame.frame_id == i
            assert np.array_equal(frame.samples, expected[i % 16]), f"frame {i} differs"
        counts = receiver.counters.snapshot()
    output = octave.finish(process)
    print(output)
    assert f"sent {n_frames} unheard 0 overflow 0 failed 0" in output
    assert counts["received"] == n_frames
    assert not {"gaps", "lost_on_wire", "overflow"} & counts.keys()


RECEIVE = """
import sys
from rtelasto.transport.keys import KeyFolder
from rtelasto.transport.receivers import Receiver
with Receiver(sys.argv[1], policy="every") as receiver:
    for frame in receiver:
        print(frame.frame_id, flush=True)
"""


def receiving(endpoint: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RECEIVE, endpoint], stdout=subprocess.PIPE, text=True
    )


def test_a_receiver_that_is_killed_and_started_again_gets_frames_again(
    bridge: Path, endpoint: str
) -> None:
    # Started first, last, and again: the sender goes on through all of it.
    first = receiving(endpoint)
    sender = octave.start(bridge, f"send_paced('{endpoint}', 1500, 256, 32, 100, true);")
    try:
        seen = [int(first.stdout.readline()) for _ in range(50)]
        assert seen == list(range(50))
        first.send_signal(signal.SIGKILL)
        first.wait(WAIT_S)
        second = receiving(endpoint)
        again = [int(second.stdout.readline()) for _ in range(50)]
        assert again[0] > seen[-1]
        assert again == list(range(again[0], again[0] + 50))
        second.kill()
        second.communicate()
    finally:
        first.kill()
        first.communicate()
        output = octave.finish(sender)
    sent, unheard, overflow, failed = map(
        int, re.search(r"sent (\d+) unheard (\d+) overflow (\d+) failed (\d+)", output).groups()
    )
    assert (sent, overflow, failed) == (1500, 0, 0)
    assert 0 < unheard < 1500


def test_what_a_subscriber_that_does_not_read_loses_is_counted(bridge: Path, endpoint: str) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as stuck:
        stuck.linger = 0
        stuck.rcvhwm = 1
        stuck.setsockopt(zmq.RCVBUF, 65536)
        stuck.subscribe("rf")
        stuck.connect(endpoint)
        with Receiver(endpoint, policy="every", queue_frames=150) as receiver:
            process = octave.start(
                bridge,
                f"rtelasto_mex('open', '{endpoint}', struct('send_hwm', 30)); "
                "while rtelasto_mex('stats').subscribers < 2, pause(0.005); end; "
                "meta = struct('sampling_freq_hz', 40e6, 'center_freq_hz', 6e6, "
                "'line_pitch_m', 3e-4, 'sound_speed_m_s', 1540); rf = zeros(2608, 128, 'int16'); "
                "for i = 1:150, rtelasto_mex('send', rf, meta); pause(0.02); end; "
                "s = rtelasto_mex('stats'); printf('%d %d %d\\n', s.sent, s.overflow, s.failed); "
                # Until our end of its input closes: what is queued is still being sent.
                "try, input('', 's'); catch, end",
            )
            assert receiver.counters.wait_for("received", 150, WAIT_S)
            sent, overflow, failed = map(int, octave.finish(process).split())
    assert (sent, failed) == (150, 0)
    assert 0 < overflow < 150


def test_every_bad_call_is_an_error_with_an_identifier_and_none_ends_the_sender(
    bridge: Path,
) -> None:
    output = octave.run(bridge, "bad_calls();")
    calls = re.findall(r"^(.+) -> (\S+)$", output, re.MULTILINE)
    assert len(calls) > 110
    assert [name for name, identifier in calls if not identifier.startswith("rtelasto:")] == []
    said = dict(calls)
    assert said["double"] == "rtelasto:send:class"
    assert said["complex"] == "rtelasto:send:complex"
    assert said["empty"] == "rtelasto:send:empty"
    assert said["rank"] == "rtelasto:send:rank"
    assert said["meta.line_pitch_m"] == "rtelasto:send:meta"
    assert said["closed"] == "rtelasto:send:closed"
    # Not one of the bad calls sent anything, and good ones still go out.
    assert "before 0 after 2" in output


def test_clearing_and_opening_again_lets_the_endpoint_go(bridge: Path, endpoint: str) -> None:
    output = octave.run(
        bridge,
        f"a = rtelasto_mex('open', '{endpoint}'); clear rtelasto_mex; "
        f"b = rtelasto_mex('open', '{endpoint}'); one = rtelasto_mex('stats').stream; "
        f"c = rtelasto_mex('open', '{endpoint}'); two = rtelasto_mex('stats').stream; "
        "rtelasto_mex('close'); rtelasto_mex('close'); "
        "printf('%d %d %d\\n', isequal(a, b, c), isequal(one, two), rtelasto_mex('stats').open);",
    )
    assert output.split() == ["1", "0", "0"]


def keyed_paced(endpoint: str, folder: Path, frames: int) -> str:
    """Octave code that sends so many small frames with the keys of ``folder``, then waits for its input."""
    return (
        f"rtelasto_mex('open', '{endpoint}', struct('keys', '{folder}')); "
        "meta = struct('sampling_freq_hz', 40e6, 'center_freq_hz', 6e6, 'line_pitch_m', 3e-4, "
        "'sound_speed_m_s', 1540); while rtelasto_mex('stats').subscribers < 1, pause(0.005); end; "
        f"for i = 1:{frames}, rtelasto_mex('send', int16(i * ones(512, 4)), meta); pause(0.01); end; "
        "s = rtelasto_mex('stats'); printf('%d %d\\n', s.sent, s.refused); "
        "try, input('', 's'); catch, end; rtelasto_mex('close');"
    )


def test_with_keys_only_machines_on_the_list_get_frames(
    bridge: Path, endpoint: str, tmp_path: Path
) -> None:
    scanner, viewer = KeyFolder.make(tmp_path / "scanner"), KeyFolder.make(tmp_path / "viewer")
    viewer.trust("127.0.0.1", scanner.path / "own.key")
    process = octave.start(bridge, keyed_paced(endpoint, scanner.path, 50))
    with Receiver(endpoint, keys=viewer.path, policy="every") as receiver:
        with Receiver(endpoint) as clear:
            assert clear.counters.wait_for("refused", 2, WAIT_S)
            assert clear.counters["received"] == clear.counters["connected"] == 0
        assert receiver.counters.wait_for("refused", 1, WAIT_S)
        assert receiver.counters["connected"] == 0
        # The list is read at each connection: no need to start the sender anew.
        scanner.allow(viewer.path / "own.key")
        for i in range(1, 51):
            frame = receiver.get(WAIT_S)
            assert frame is not None
            assert (frame.samples == i).all()
    sent, refused = map(int, octave.finish(process).split())
    assert sent == 50
    assert refused >= 1


def test_the_senders_own_folder_gets_in_and_it_opens_again(
    bridge: Path, endpoint: str, tmp_path: Path
) -> None:
    keys = KeyFolder.make(tmp_path / "keys")
    again = f"rtelasto_mex('open', '{endpoint}', struct('keys', '{keys.path}')); " * 2
    with Receiver(endpoint, keys=keys.path, policy="every") as receiver:
        process = octave.start(bridge, again + keyed_paced(endpoint, keys.path, 3))
        assert receiver.get(WAIT_S) is not None
    octave.finish(process)


@pytest.mark.parametrize("where", ["tcp://*:5999", "tcp://0.0.0.0:5999", "tcp://127.0.0.1.x:5999"])
def test_without_keys_no_other_machine_may_reach_it(bridge: Path, where: str) -> None:
    said = octave.run(
        bridge,
        f"try, rtelasto_mex('open', '{where}'); catch e, disp(e.identifier); disp(e.message); end",
    )
    assert "rtelasto:open:keys" in said
    assert "rtelasto keys FOLDER" in said


def test_keys_that_others_can_read_are_refused(bridge: Path, tmp_path: Path) -> None:
    keys = KeyFolder.make(tmp_path / "keys")
    (keys.path / "own.key_secret").chmod(0o644)
    for folder, named in ((keys.path, "chmod go-rwx"), (tmp_path / "none", "rtelasto keys FOLDER")):
        said = octave.run(
            bridge,
            f"try, rtelasto_mex('open', 'tcp://127.0.0.1:*', struct('keys', '{folder}')); "
            "catch e, disp(e.message); end",
        )
        assert named in said
