"""A short, fixed piece of the fuzzing that docs/fuzzing.md describes, and all that it ever found."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import h5py
import msgpack
import numpy as np
import pytest
from fuzz import messages, ways
from fuzz.file_cases import case, write
from fuzz.seed_files import KINDS, PHYSICS, RF, seeds
from fuzz.targets import Way, decode, open_file
from fuzz.worker import rng_of
from wire_vectors import vector

from rtelasto.errors import RtelastoError
from rtelasto.live.shared_counters import SharedState
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.sources import first_look, open_recording
from rtelasto.wire.message import WireFault
from rtelasto.wire.rf import decode_rf

pytestmark = pytest.mark.fuzz

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path for path in (CORPUS / "files").glob("*/*") if path.is_dir())


@pytest.mark.parametrize("topic", messages.TOPICS)
def test_messages_are_read_or_faults(topic: str) -> None:
    for number in range(4000):
        decode(topic, messages.message(topic, rng_of(topic, number)))


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    if not seeds(kind):
        pytest.skip("the package that writes such files is not installed")
    n_cases = 10 if kind in ("uff", "verasonics", "segments", "sent") else 60
    read = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(n_cases):
            seed = case(kind, rng_of(kind, number))
            folder = tmp_path / str(number)
            folder.mkdir()
            read += open_file(kind, write(seed, folder), seed.options)
    assert read < n_cases


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_file_fuzzer_starts_from_is_sound(tmp_path: Path, kind: str) -> None:
    for number, seed in enumerate(seeds(kind)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert open_file(kind, write(seed, folder), seed.options)


@pytest.mark.parametrize("engine", ["ncc", "cnn"])
@pytest.mark.parametrize("policy", ["consecutive", "adaptive"])
def test_whatever_the_decoder_passes_goes_all_the_way(engine: str, policy: str) -> None:
    way = Way(engine, PairPolicy.parse(policy))
    became = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(40):
            became += [way.take(parts) for parts in ways.stream(rng_of("way", number))]
    # Adaptive pairing refuses pairs of noise, which have nothing in common.
    assert ("strain" if policy == "consecutive" else "waits") in became


@pytest.mark.parametrize("path", sorted((CORPUS / "rf").iterdir()), ids=lambda path: path.stem)
def test_messages_that_once_did_harm(path: Path) -> None:
    decode("rf", messages.apart(path.read_bytes()))


def test_streams_that_once_did_harm() -> None:
    way = Way("ncc", PairPolicy.parse("consecutive"))
    for path in sorted((CORPUS / "streams").iterdir()):
        parts = messages.apart(path.read_bytes())
        for k in range(0, len(parts), 3):
            way.take(parts[k : k + 3])


@pytest.mark.parametrize("folder", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_files_that_once_did_harm(folder: Path) -> None:
    (opened,) = (path for path in folder.iterdir() if path.suffix not in (".raw", ".bin"))
    open_file(folder.parent.name, opened, PHYSICS)


def test_a_channel_message_without_a_sound_speed_is_a_fault() -> None:
    topic, header, samples = vector("rf_channel.hex")
    fields = msgpack.unpackb(header) | {"sound_speed_m_s": 0.0}
    with pytest.raises(WireFault, match="sound_speed_m_s"):
        decode_rf([topic, msgpack.packb(fields), samples])


def test_counters_stay_within_what_the_wire_and_shared_memory_hold() -> None:
    counters = SharedState().open()[0]
    for _ in range(3):
        counters.add("missed_at_join", 2**63 - 1)
    assert counters["missed_at_join"] == 2**63 - 1


def refused(path: Path, match: str, **options: object) -> None:
    with pytest.raises(RtelastoError, match=match):
        open_recording(path, **(PHYSICS | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["../b.raw", "/dev/zero", "..\\b.raw", "C:\\b.raw", "a/../../b.raw"]
)
def test_a_metaimage_header_leads_to_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "b.raw").write_bytes(RF.tobytes())
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "a.mhd"
    header = "NDims = 3\nDimSize = 40 8 3\nElementType = MET_SHORT\nElementDataFile = "
    path.write_text(header + name + "\n")
    refused(path, "beside or below the header")


def test_hdf5_leads_to_no_file_elsewhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["rf"] = RF
    (tmp_path / "other.raw").write_bytes(RF.tobytes())
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["rf"] = h5py.ExternalLink("other.h5", "/rf")
    refused(tmp_path / "link.h5", "link to another file")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("rf", RF.shape, "<i2", external=[("other.raw", 0, RF.nbytes)])
    refused(tmp_path / "raw.h5", "lie in another file")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(RF.shape, "<i2")
        layout[...] = h5py.VirtualSource("other.h5", "rf", RF.shape)
        file.create_virtual_dataset("rf", layout)
    refused(tmp_path / "virtual.h5", "lie in another file")


def test_a_small_file_with_a_huge_frame_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("rf", (2, 4000, 65000), "f8", chunks=(1, 40, 650))
    refused(tmp_path / "a.h5", "at most .* samples are read")
    refused(tmp_path / "a.h5", "at most", center_freq_hz=None)


def test_a_chunk_that_inflates_without_end_takes_no_more_than_the_first_look_may(
    tmp_path: Path,
) -> None:
    packer = zlib.compressobj(9)
    zeros = bytes(1 << 24)
    packed = b"".join(packer.compress(zeros) for _ in range(256)) + packer.flush()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        rf = file.create_dataset("rf", RF.shape, "<i2", chunks=RF.shape, compression="gzip")
        rf.id.write_direct_chunk((0, 0, 0), packed)
    refused(tmp_path / "a.h5", "MiB|cannot be read|HDF5 library")


def test_after_a_file_that_ends_the_first_look_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", RF)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rf"] = RF
    first_look.look_first(tmp_path / "a.h5")
    process = first_look._process
    assert process is not None
    process.kill()
    process.wait()
    refused(tmp_path / "a.h5", "the HDF5 library .* on opening it")
    with open_recording(tmp_path / "a.h5", **PHYSICS) as recording:
        assert recording.n_frames == 3


def test_no_device_or_pipe_is_opened(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "a.h5")
    started = time.monotonic()
    refused(tmp_path / "a.h5", "device or a pipe")
    assert time.monotonic() - started < 60.0


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="pip install 'rtelasto[fuzz]'"
)
@pytest.mark.parametrize("target", ["rf", "strain", "status", "npy", "metaimage", "mat5", "hdf5"])
def test_coverage_guided_targets_run(tmp_path: Path, target: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.atheris_targets", target, "-runs=300", "-seed=1"],
        cwd=Path(__file__).parent / "helpers",
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 300" in done.stderr
