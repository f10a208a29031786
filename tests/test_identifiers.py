"""What names a patient in the input comes out nowhere: not in logs, metrics, streams or recordings."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.request import urlopen

import h5py
import msgpack
import numpy as np
import processes
import pytest
from waiting import WAIT_S

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.sockets import PublishingSocket
from rtelasto.wire.message import TOPIC_RF
from rtelasto.wire.rf import encode_rf

pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")
pytest.importorskip("hdf5plugin", reason="the record extra is not installed")

SECRETS = ("DOE^JANE", "MRN-4711-0815", "1970-01-31")
FIELDS = dict(zip(("patient_name", "patient_id", "birth_date"), SECRETS, strict=True))
FORMAT = RfFormat(
    n_lines=32,
    n_samples=1024,
    sampling_freq_hz=31.25e6,
    center_freq_hz=7.8125e6,
    line_pitch_m=2.969e-4,
)


def assert_clean(where: str, data: bytes) -> None:
    for secret in SECRETS:
        for encoding in ("utf-8", "utf-16-le"):
            assert secret.encode(encoding) not in data, f"{secret} in {where}"


def everything_in(path: Path) -> bytes:
    """A file's bytes and, as these may be compressed, all texts that HDF5 finds in it."""
    texts: list[str] = []

    def note(name: str, item: object) -> None:
        texts.extend((name, str(dict(item.attrs))))
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "OSU":
            texts.append(str(item[()]))

    with h5py.File(path) as file:
        texts.append(str(dict(file.attrs)))
        file.visititems(note)
    return path.read_bytes() + "\n".join(texts).encode()


@pytest.mark.slow
def test_what_a_sender_adds_to_its_headers_goes_no_further(tmp_path: Path):
    frames = timing_frames(FORMAT)
    socket = PublishingSocket("tcp://127.0.0.1:0", send_hwm=100, linger_ms=0)
    strain = "ipc://" + str(tmp_path / "strain")
    flags = ("--engine", "ncc", "--rf", socket.endpoint, "--strain", strain, "--frames", "6")
    folder = tmp_path / "recording"
    with (
        processes.running("run", *flags, "--metrics", "0", "--record", str(folder)) as run,
        StrainReceiver(strain, policy="every") as receiver,
    ):
        assert socket.subscribed(TOPIC_RF, WAIT_S)
        scraped, came, seq, said = "", [], 0, ""
        # The recorder starts beside the run, and is to have all of it.
        while "recording into" not in said:
            line = run.stderr.readline()
            assert line, said
            said += line
        while run.poll() is None:
            topic, header, samples = encode_rf(
                RfFrame(frames[(0, 1, 2, 1)[seq % 4]].samples, FORMAT, FrameStamp(seq, seq)),
                stream="s",
                seq=seq,
            )
            header = msgpack.packb(msgpack.unpackb(bytes(header)) | FIELDS)
            # Good frames with such fields, and ones that are refused and logged because of others.
            socket.send([topic, header, samples])
            socket.send([topic, msgpack.packb(msgpack.unpackb(header) | {"kind": "none"}), samples])
            seq += 1
            message = receiver.get(0.05)
            if message is not None:
                came.append(message)
                if not scraped:
                    while not (found := re.search(r"metrics at (\S+)", said)):
                        said += run.stderr.readline()
                    scraped = urlopen(found[1]).read().decode()
        out, errors = run.communicate(timeout=WAIT_S)
    socket.close()
    assert came
    assert "malformed.kind" in out
    assert "rtelasto_strain_frames_total" in scraped
    assert_clean("the terminal and the log", (out + said + errors).encode())
    assert_clean("the metrics", scraped.encode())
    assert_clean("the strain stream", repr(came).encode())
    recorded = list(folder.glob("*.h5"))
    assert {path.name[:2] for path in recorded} == {"rf", "st"}
    for path in recorded:
        assert_clean(path.name, everything_in(path))


@pytest.mark.slow
def test_what_a_recording_says_of_its_subject_stays_there(tmp_path: Path):
    source, strain = tmp_path / "press.h5", tmp_path / "strain.h5"
    with RecordingWriter(source, FORMAT) as writer:
        for number, frame in enumerate(timing_frames(FORMAT)):
            writer.write(RfFrame(frame.samples, FORMAT, FrameStamp(number, number * 50_000_000)))
    assert_clean("a new recording", everything_in(source))
    with h5py.File(source, "a") as file:
        file.attrs.update(FIELDS)
        for name, value in FIELDS.items():
            file[f"metadata/subject/{name}"] = value
            file[f"custom/{name}"] = np.bytes_(value)
    with pytest.raises(AssertionError):
        assert_clean("the recording now", everything_in(source))
    report = tmp_path / "press.html"
    for arguments in (
        ("process", str(source), "-o", str(strain), "--engine", "ncc"),
        ("report", str(source), "-o", str(report), "--engine", "ncc"),
    ):
        done = processes.finish(*arguments)
        assert done.returncode == 0, done.stderr
        assert_clean(f"what {arguments[0]} says", (done.stdout + done.stderr).encode())
    assert_clean("the strain file", everything_in(strain))
    assert_clean("the report", report.read_bytes())
