"""Coverage-guided fuzzing with atheris: libFuzzer mutates inputs that reached new Python code.

    cd tests/helpers && python -m fuzz.atheris_targets TARGET [CORPUS FOLDERS] [libFuzzer options]

TARGET is ``rf``, ``strain``, ``status`` or a kind of file; ``-runs=100000 -seed=1`` limits the run. The
native libraries (libhdf5, zlib, msgpack's unpacker) are not instrumented.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(
    include=["rtelasto.wire.message", "rtelasto.sources", "rtelasto.frames.rf"]
):
    from fuzz import messages
    from fuzz.file_cases import case, write
    from fuzz.seed_files import KINDS, Seed, seeds
    from fuzz.targets import decode, open_file


def main() -> None:
    target = sys.argv.pop(1)
    scratch = tempfile.TemporaryDirectory()
    folder = Path(scratch.name)
    start = folder / "start"
    start.mkdir()
    if target in messages.TOPICS:
        for k, parts in enumerate(messages.seeds(target)):
            (start / str(k)).write_bytes(messages.flat(parts))

        def try_input(data: bytes) -> None:
            decode(target, messages.apart(data))

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            if seed % 2:
                return atheris.Mutate(data, max_size)
            return messages.flat(messages.changed(messages.apart(data), Random(seed)))[:max_size]

    else:
        assert target in KINDS, (
            f"target must be one of {', '.join((*messages.TOPICS, *KINDS))}, got {target}"
        )
        seed_file = seeds(target)[0]
        (start / "0").write_bytes(seed_file.files[seed_file.main])
        opened = folder / "case"
        opened.mkdir()

        def try_input(data: bytes) -> None:
            damaged = Seed(seed_file.files | {seed_file.main: data}, seed_file.opened)
            open_file(target, write(damaged, opened), seed_file.options)

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            if seed % 2:
                return atheris.Mutate(data, max_size)
            made = case(target, Random(seed))
            return made.files[made.main][:max_size]

    atheris.Setup([*sys.argv, str(start)], try_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
