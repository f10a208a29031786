"""CUDA graphs: a sequence of stages recorded once and started with one call per frame."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple

from rtelasto.errors import first_line

_log = logging.getLogger(__name__)


class Stage(NamedTuple):
    """A part of a sequence: a function that enqueues it on the current stream, and whether to record it."""

    name: str
    enqueue: Callable[[], None]
    capturable: bool = True


class Sequence:
    """Stages in order on one stream: recorded where possible, otherwise started one by one.

    Neighbouring stages that can be recorded become one graph. Every stage runs once before anything is
    recorded, so that libraries have loaded and allocated what they need on first use.

    Parameters
    ----------
    stages
        Their buffers must be allocated and must not move.
    stream
        A separate stream, not the default one.
    eager
        Record nothing, for comparison with graphs.
    """

    def __init__(self, stages: list[Stage], stream: Any, *, eager: bool = False) -> None:
        self._stream = stream
        with stream:
            for stage in stages:
                stage.enqueue()
        stream.synchronize()
        self._parts: list[Callable[[], None]] = []
        for capturable, group in groupby(stages, key=lambda stage: stage.capturable and not eager):
            members = list(group)
            if capturable:
                self._parts.extend(self._recorded_or_not(members))
            else:
                self._parts.extend(stage.enqueue for stage in members)

    def _recorded_or_not(self, stages: list[Stage]) -> list[Callable[[], None]]:
        """Record stages as one graph or, if that fails, as several, with the stages that fail in between."""
        try:
            return [self._recorded(stages)]
        except Exception as error:  # CuPy and the engines' libraries raise their own types
            if len(stages) == 1:
                reason = first_line(error)
                _log.warning("%s runs outside the graph: %s", stages[0].name, reason)
                _log.debug("%s could not be recorded", stages[0].name, exc_info=True)
                return [stages[0].enqueue]
            half = len(stages) // 2
            halves = stages[:half], stages[half:]
        return [part for members in halves for part in self._recorded_or_not(members)]

    def _recorded(self, stages: list[Stage]) -> Callable[[], None]:
        from cupy.cuda import runtime

        stream = self._stream
        with stream:
            # Thread-local: other threads of the program may use the device meanwhile.
            stream.begin_capture(runtime.streamCaptureModeThreadLocal)
            try:
                for stage in stages:
                    stage.enqueue()
            except BaseException:
                # The stream must not be left recording; the recorded graph is discarded. An error here
                # must not hide the first one.
                with suppress(Exception):
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        graph.upload(stream)
        stream.synchronize()
        return lambda: graph.launch(stream)

    def launch(self) -> None:
        """Start all stages; returns before they are done."""
        with self._stream:
            for part in self._parts:
                part()
