"""Tries inputs of one kind in a separate process; see `fuzz.campaign`.

It writes a line before and after each batch, so that the parent process knows the batch of a crash.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz import messages, ways
from fuzz.file_cases import case, write
from fuzz.seed_files import KINDS
from fuzz.targets import Way, decode, open_file
from rtelasto.pipeline.pair_policy import PairPolicy

HANG_S = 1.0
MEMORY_BYTES = 6 << 30


def rng_of(target: str, number: int) -> Random:
    """Return the random generator of input ``number`` of a target, always the same."""
    return Random(f"{target} {number}")


def attempts(target: str, folder: Path) -> Callable[[int], int]:
    """Return a function that tries input ``number`` and returns the number of inputs."""
    if target in messages.TOPICS:
        return lambda number: _one(
            lambda: decode(target, messages.message(target, rng_of(target, number)))
        )
    if target in KINDS:

        def open_case(number: int) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            seed = case(target, rng_of(target, number))
            open_file(target, write(seed, folder), seed.options)

        return lambda number: _one(lambda: open_case(number))
    engine, _, policy = target.partition("/")
    way = Way(engine, PairPolicy.parse(policy))

    def stream(number: int) -> int:
        parts = list(ways.stream(rng_of(target, number)))
        for message in parts:
            way.take(message)
        return len(parts)

    return stream


def _one(do: Callable[[], Any]) -> int:
    do()
    return 1


def rss_bytes() -> int:
    """Return the memory in use by this process, without memory cached by the allocator."""
    with contextlib.suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main(target: str, first: int, end: int, batch: int) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    scratch = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=scratch) as root:
        attempt = attempts(target, Path(root) / "case")

        attempt(first)  # compilation and start-up with the first input are excluded
        number = first
        while number < end:
            tries, slowest, slow, after = 0, 0.0, [], min(number + batch, end)
            for number in range(number, after):  # noqa: B020
                started = time.perf_counter()
                try:
                    tries += attempt(number)
                except Exception as error:
                    kind = f"{type(error).__name__}: {str(error)[:200]}"
                    print(json.dumps({"number": number, "raised": kind}), flush=True)
                took = time.perf_counter() - started
                slowest = max(slowest, took)
                if took > HANG_S:
                    slow.append(number)
            number = after
            gc.collect()
            done = {
                "next": number,
                "inputs": tries,
                "rss": rss_bytes(),
                "slowest": slowest,
                "slow": slow,
            }
            print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
