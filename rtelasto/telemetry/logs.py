"""The log: one line for each event, as text or JSON, at most one for each cause in ten seconds.

Every process calls `set_up` once. A cause is what a call site passes as ``extra={"cause": …}``. By default it
is the logger and the message with all arguments except numbers, so that different events are not merged. A
call site that logs names from outside passes a cause without them. The entries of
``extra={"fields": {…}}`` become the event's fields in JSON. Further lines of the same cause are held back,
and their number is logged.

Samples, contents of files and anything that could identify a patient are never logged.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rtelasto.errors import RtelastoError

FORMAT_VARIABLE = "RTELASTO_LOG_FORMAT"
FORMATS = ("text", "json")
PERIOD_S = 10.0
# Most causes to remember; beyond it, all are forgotten, and each may be logged once more than intended.
_MOST_CAUSES = 10_000


def set_up() -> None:
    """Log to stderr, in the format that the environment selects (child processes inherit it).

    Raises
    ------
    RtelastoError
        If there is no such format.
    """
    name = os.environ.get(FORMAT_VARIABLE) or "text"
    if name not in FORMATS:
        raise RtelastoError(f"{FORMAT_VARIABLE} must be text or json, got {name!r}")
    handler = LimitedHandler()
    handler.setFormatter(JsonLines() if as_json() else TextLines())
    # Users need the warnings of libraries, but not their progress messages.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("rtelasto", "rtelasto_engines"):
        logging.getLogger(name).setLevel(logging.INFO)


def as_json() -> bool:
    """Whether the environment selects JSON."""
    return os.environ.get(FORMAT_VARIABLE) == "json"


class RateLimit:
    """Decides which events to log: the first of a cause, then at most one in ``period_s``.

    May be used from any thread; costs a fraction of the time to create a log record.
    """

    def __init__(self, period_s: float = PERIOD_S, clock: Callable[[], float] = time.monotonic):
        self._period_s = period_s
        self._clock = clock
        self._lock = threading.Lock()
        # When a cause may be logged next, and how often it occurred since it was last logged.
        self._causes: dict[object, tuple[float, int]] = {}

    def take(self, cause: object) -> int | None:
        """Return how many events of this cause were held back before this one; None to hold it back too."""
        now = self._clock()
        with self._lock:
            due, held = self._causes.get(cause, (0.0, 0))
            if now < due:
                self._causes[cause] = due, held + 1
                return None
            if len(self._causes) >= _MOST_CAUSES:
                self._causes.clear()
            self._causes[cause] = now + self._period_s, 0
            return held

    def rest(self, *, everything: bool = False) -> dict[object, int]:
        """Return the held-back events by cause where they are due (or all), and count them as logged."""
        now = self._clock()
        with self._lock:
            rest = {c: h for c, (d, h) in self._causes.items() if h and (everything or now >= d)}
            for cause in rest:
                self._causes[cause] = now + self._period_s, 0
            return rest


def more(held: int) -> str:
    """The end of a log line that represents further events."""
    return f" … and {held} more" if held else ""


class LimitedHandler(logging.StreamHandler):
    """Writes a line for each cause in `PERIOD_S`, and how many there were when that time is over."""

    def __init__(self, limit: RateLimit | None = None) -> None:
        super().__init__()
        self._limit = limit or RateLimit()
        self._last: dict[object, logging.LogRecord] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or hold it back. Called with the handler's lock held."""
        cause = getattr(record, "cause", None) or (record.name, record.msg, _words(record.args))
        held = self._limit.take(cause)
        if held is None:
            if len(self._last) < _MOST_CAUSES:
                self._last[cause] = record
            if self._timer is None:
                self._timer = threading.Timer(PERIOD_S, self._log_rest)
                self._timer.daemon = True
                self._timer.start()
            return
        self._last.pop(cause, None)
        record.repeats = held + getattr(record, "repeats", 0)
        super().emit(record)

    def close(self) -> None:
        """Log the number of records that were held back, and close."""
        self._log_rest(everything=True)
        super().close()

    def _log_rest(self, *, everything: bool = False) -> None:
        self.acquire()
        try:
            self._timer = None
            for cause, held in self._limit.rest(everything=everything).items():
                record = self._last.pop(cause, None)
                if record is not None:
                    # The line itself is one of those that were held back.
                    record.repeats = held - 1
                    super().emit(record)
            if self._last and not everything:
                self._timer = threading.Timer(PERIOD_S, self._log_rest)
                self._timer.daemon = True
                self._timer.start()
        finally:
            self.release()


class TextLines(logging.Formatter):
    """For people: time, level, logger, message; line breaks in a message are written as ``\\n``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The one line; a traceback follows it."""
        text = super().formatMessage(record) + more(getattr(record, "repeats", 0))
        return _one_line(text)


class JsonLines(logging.Formatter):
    """For programs: an object a line with ``time`` (UTC), ``level``, ``logger``, ``process``, ``event`` and
    the event's fields; ``repeats`` and ``traceback`` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, on one line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.processName,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if getattr(record, "repeats", 0):
            line["repeats"] = record.repeats  # type: ignore[attr-defined]
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _one_line(text: str) -> str:
    """Escape line breaks, so that a name from elsewhere cannot forge lines of the log."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _words(arguments: object) -> tuple[str, ...]:
    """The arguments of a message that are not numbers."""
    given = arguments if isinstance(arguments, tuple) else ()
    return tuple(str(argument) for argument in given if not isinstance(argument, int | float))
