"""Logs: one line for each event, one for each cause in ten seconds, and nothing that breaks a line."""

from __future__ import annotations

import io
import json
import logging
import socket

import processes
import pytest
import zmq
from clock import Clock
from waiting import WAIT_S

from rtelasto.errors import RtelastoError
from rtelasto.telemetry.logs import JsonLines, LimitedHandler, RateLimit, TextLines, set_up
from rtelasto.transport.receivers import StrainReceiver


def test_a_cause_is_told_once_in_its_time_and_again_later() -> None:
    clock = Clock()
    limit = RateLimit(10.0, clock)
    assert limit.take("a") == 0
    assert [limit.take("a") for _ in range(1234)] == [None] * 1234
    assert limit.take("b") == 0
    assert limit.rest() == {}
    clock.now = 10.0
    assert limit.take("a") == 1234
    assert limit.take("a") is None
    clock.now = 3600.0
    assert limit.rest() == {"a": 1}
    assert limit.rest() == {}
    assert limit.take("a") is None
    clock.now = 7200.0
    assert limit.take("a") == 1
    clock.now = 10_000.0
    assert limit.take("a") == 0


def test_memory_stays_flat_with_ever_new_causes() -> None:
    clock = Clock()
    limit = RateLimit(10.0, clock)
    for number in range(100_000):
        clock.now += 0.001
        assert limit.take(number) == 0
    assert len(limit._causes) <= 10_000


def lines(formatter: logging.Formatter, clock: Clock) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = LimitedHandler(RateLimit(10.0, clock))
    handler.setStream(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("rtelasto.test")
    logger.addHandler(handler)
    return logger, stream


def test_lines_beyond_the_first_are_counted() -> None:
    clock = Clock()
    logger, stream = lines(TextLines(), clock)
    for number in range(5):
        logger.warning("dropped %d", number)
    logger.warning("other\nline")
    clock.now = 10.0
    logger.warning("dropped %d", 5)
    logger.warning("dropped %d", 6)
    logger.handlers[0].close()
    told = [line.partition("rtelasto.test: ")[2] for line in stream.getvalue().splitlines()]
    assert told == ["dropped 0", "other\\nline", "dropped 5 … and 4 more", "dropped 6"]


def test_json_has_fields_and_one_line() -> None:
    logger, stream = lines(JsonLines(), Clock())
    logger.error("lost\n%d", 3, extra={"cause": "x", "fields": {"frames_lost": 3}})
    try:
        raise MemoryError("none")
    except MemoryError:
        logger.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "error",
        "logger": "rtelasto.test",
        "process": "MainProcess",
        "event": "lost\n3",
        "frames_lost": 3,
    }
    assert "MemoryError: none" in second["traceback"]


def test_a_format_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTELASTO_LOG_FORMAT", "xml")
    with pytest.raises(RtelastoError, match="must be text or json, got 'xml'"):
        set_up()


@pytest.mark.slow
def test_an_error_that_ends_a_command_is_json_too() -> None:
    done = processes.finish("--log-format", "json", "run", "--engine", "magic")
    last = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == last["exit_code"] == 2
    assert "magic" in last["event"]
    assert last["level"] == "critical"


@pytest.mark.slow
def test_a_run_logs_json_from_all_its_processes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        strain = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    with (
        zmq.Context() as context,
        context.socket(zmq.PUB) as sender,
        StrainReceiver(strain) as receiver,
    ):
        sender.linger = 0
        rf = f"tcp://127.0.0.1:{sender.bind_to_random_port('tcp://127.0.0.1')}"
        with processes.running(
            *("--log-format", "json", "run", "--engine", "ncc", "--rf", rf, "--strain", strain)
        ) as run:
            while "malformed.header" not in (receiver.status.counters if receiver.status else {}):
                sender.send_multipart([b"rf", b"rubbish", b""])
                seen = receiver.counters["statuses"]
                receiver.counters.wait_for("statuses", seen + 1, 0.05)
            run.terminate()
            errors = run.communicate(timeout=WAIT_S)[1]
    events = [json.loads(line) for line in errors.splitlines()]
    said = [event["event"] for event in events if "counter" not in event]
    # After an installation; not where compiled code was kept.
    said = [text for text in said if not text.startswith("compiling for this processor")]
    assert said[0].startswith("Not a medical device")
    assert said[1].startswith(f"strain on {strain}, engine ncc")
    counted = [event for event in events if "counter" in event]
    assert {event["counter"] for event in counted} == {"connected", "malformed.header"}
    dropped = [event for event in counted if event["counter"] == "malformed.header"]
    assert all(event["process"] == "rtelasto pipeline" for event in dropped)
    assert len(dropped) <= 2
