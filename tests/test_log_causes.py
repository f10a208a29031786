"""Different events are different lines in the log."""

from __future__ import annotations

import io
import logging

from rtelasto.telemetry.logs import LimitedHandler, TextLines


def test_parts_that_end_together_are_each_named():
    stream = io.StringIO()
    handler = LimitedHandler()
    handler.setStream(stream)
    handler.setFormatter(TextLines())
    log = logging.Logger("rtelasto.test")
    log.addHandler(handler)
    for name in ("viewer", "recorder", "OpenIGTLink", "viewer"):
        log.error("the %s ended by itself", name)
    handler.close()
    lines = stream.getvalue().splitlines()
    assert [line.partition("the ")[2] for line in lines] == [
        "viewer ended by itself",
        "recorder ended by itself",
        "OpenIGTLink ended by itself",
        "viewer ended by itself",
    ]
