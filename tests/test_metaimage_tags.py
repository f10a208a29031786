"""MetaImage headers as PlusLib, ITK and people write them: what they say is believed, or refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import IqFormat
from rtelasto.sources import open_recording

HEADER = """ObjectType = Image
NDims = 3
DimSize = 24 200 5
ElementType = MET_SHORT
ElementSpacing = 0.3 0.02 1
"""
ROWS = HEADER.replace("24 200 5", "200 24 5").replace("0.3 0.02", "0.02 0.3")
CENTER = {"center_freq_hz": 5e6}


@pytest.fixture
def frames() -> np.ndarray:
    """(frame, line, sample), int16."""
    return np.random.default_rng(3).integers(-9000, 9000, (5, 24, 200)).astype(np.int16)


def write(path: Path, header: str | bytes, data: bytes, where: str | bytes = "LOCAL") -> Path:
    header = header if isinstance(header, bytes) else header.encode()
    where = where if isinstance(where, bytes) else where.encode()
    path.write_bytes(header + b"ElementDataFile = " + where + b"\n" + data)
    return path


def elements(frames: np.ndarray) -> bytes:
    return np.ascontiguousarray(frames.transpose(0, 2, 1)).tobytes()


def reads(path: Path, frames: np.ndarray, **options) -> tuple[str, ...]:
    with open_recording(path, **(CENTER | options)) as recording:
        assert recording.n_frames == len(frames)
        for i, frame in enumerate(frames):
            np.testing.assert_array_equal(recording.read(i), frame)
        return recording.notes


def refused(path: Path, match: str, **options) -> None:
    with pytest.raises(RtelastoError, match=match) as caught:
        open_recording(path, **(CENTER | options))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["RF_IQ_LINE", "RF_I_LINE_Q_LINE"])
@pytest.mark.parametrize("orientation", ["FM", "FU", "NM", "NU"])
def test_iq_that_the_tags_describe_becomes_rf_lines(tmp_path, frames, kind, orientation):
    n_lines, n_samples = (24, 100) if kind == "RF_IQ_LINE" else (12, 200)
    tags = ROWS + f"UltrasoundImageType = {kind}\nUltrasoundImageOrientation = {orientation}A\n"
    path = write(tmp_path / "a.mha", tags, frames.tobytes())
    iq_format = IqFormat(
        n_lines=n_lines,
        n_samples=n_samples,
        sampling_freq_hz=1540.0 / (2 * 0.02e-3),
        demodulation_freq_hz=5e6,
        center_freq_hz=5e6,
        line_pitch_m=0.3e-3,
    )
    remodulate = Remodulator(iq_format)
    stored = frames[3].astype(np.float32)
    if kind == "RF_IQ_LINE":
        pixels = stored[:, 0::2] + 1j * stored[:, 1::2]
    else:
        pixels = stored[0::2] + 1j * stored[1::2]
    if "N" in orientation:
        pixels = pixels[:, ::-1]
    if "U" in orientation:
        pixels = pixels[::-1]
    with open_recording(path, **CENTER) as recording:
        assert recording.format == remodulate.format
        assert recording.n_frames == 5
        np.testing.assert_array_equal(recording.read(3), remodulate(pixels))
        assert any("IQ at 5 MHz" in note for note in recording.notes)
    with pytest.raises(
        RtelastoError, match=r"IQ and does not state its demodulation frequency.*--center-freq"
    ):
        open_recording(path)


def test_iq_whose_lines_do_not_lie_in_rows_or_are_odd_is_refused(tmp_path, frames):
    tags = HEADER + "UltrasoundImageType = RF_IQ_LINE\nUltrasoundImageOrientation = MFA\n"
    refused(write(tmp_path / "a.mha", tags, elements(frames)), "must be FM, FU, NM or NU")
    tags = ROWS.replace("200 24", "199 24") + "UltrasoundImageType = RF_IQ_LINE\n"
    tags += "UltrasoundImageOrientation = FMA\n"
    refused(write(tmp_path / "b.mha", tags, frames[:, :, 1:].tobytes()), "an odd number")


def test_b_mode_is_refused_in_one_line(tmp_path):
    rng = np.random.default_rng(2)
    brightness = (60 + 30 * rng.rayleigh(1.0, (5, 200, 24))).clip(0, 255).astype(np.uint8)
    tags = HEADER.replace("MET_SHORT", "MET_UCHAR") + "UltrasoundImageType = BRIGHTNESS\n"
    refused(write(tmp_path / "a.mha", tags, brightness.tobytes()), "BRIGHTNESS .* record RF")


def test_rf_tagged_brightness_by_default_opens_with_a_note(tmp_path, frames, shared_data):
    path = write(
        tmp_path / "a.mha", HEADER + "UltrasoundImageType = BRIGHTNESS\n", elements(frames)
    )
    assert any("oscillate like RF" in note for note in reads(path, frames))
    with open_recording(shared_data("deepuse_forearm/rf0300_25.mhd")) as recording:
        assert any("oscillate like RF" in note for note in recording.notes)


def test_frames_that_are_not_valid_are_left_out_with_their_times(tmp_path, frames):
    tags = HEADER
    for i in range(5):  # PlusLib numbers from any number on
        status = "INVALID" if i in (1, 4) else "OK"
        tags += f"Seq_Frame{i + 25:04d}_ImageStatus = {status}\n"
        tags += f"Seq_Frame{i + 25:04d}_Timestamp = {i}.5\n"
    stored = frames.copy()
    stored[[1, 4]] = 0
    path = write(tmp_path / "a.mha", tags, elements(stored))
    notes = reads(path, frames[[0, 2, 3]])
    assert any("2 of 5 frames left out" in note for note in notes)
    with open_recording(path, **CENTER) as recording:
        assert recording.timestamps_ns.tolist() == [500_000_000, 2_500_000_000, 3_500_000_000]
    path = write(tmp_path / "b.mha", tags.replace("= OK", "= INVALID"), elements(stored))
    refused(path, "is not OK for any frame")


def test_offset_along_the_depth_is_where_the_lines_start(tmp_path, frames):
    path = write(tmp_path / "a.mha", HEADER + "Offset = -3.6 12.5 0\n", elements(frames))
    with open_recording(path, **CENTER) as recording:
        assert recording.format.start_depth_m == pytest.approx(12.5e-3)
    path = write(tmp_path / "b.mha", ROWS + "Origin = 12.5 -3.6 0\n", frames.tobytes())
    with open_recording(path, **CENTER) as recording:
        assert recording.format.start_depth_m == pytest.approx(12.5e-3)
    path = write(tmp_path / "c.mha", HEADER + "Offset = 100 -900 40\n", elements(frames))
    assert any("Offset -900 mm" in note for note in reads(path, frames))


@pytest.mark.parametrize("kinds", ["", "Kinds = domain domain domain list\n"])
@pytest.mark.parametrize("sizes", ["24 200 1 5", "24 200 5 1"])
def test_a_fourth_axis_of_one_is_left_out(tmp_path, frames, sizes, kinds):
    if kinds and sizes.endswith("5 1"):
        kinds = "Kinds = domain domain list domain\n"
    header = HEADER.replace("NDims = 3", "NDims = 4").replace("24 200 5", sizes)
    header = header.replace("0.02 1", "0.02 1 1") + kinds
    reads(write(tmp_path / "a.mha", header, elements(frames)), frames)


def test_kinds_says_which_axis_counts_frames(tmp_path, frames):
    header = HEADER.replace("24 200 5", "5 24 200").replace("0.3 0.02 1", "1 0.3 0.02")
    stored = np.ascontiguousarray(frames.transpose(2, 1, 0)).tobytes()
    reads(write(tmp_path / "a.mha", header + "Kinds = list domain domain\n", stored), frames)
    volume = write(tmp_path / "b.mha", HEADER + "Kinds = domain domain domain\n", elements(frames))
    refused(volume, "a volume")
    colour = write(tmp_path / "c.mha", HEADER + "Kinds = vector domain domain\n", elements(frames))
    refused(colour, "'vector'")


@pytest.mark.parametrize(
    "first",
    [
        "BinaryData = True\n",
        "CompressedData = False\n",
        "AnatomicalOrientation = RAI\n",
        "DimSize=24 200 5\n",
        "\ufeff",
        "\r\n",
    ],
)
def test_any_tag_or_a_byte_order_mark_may_come_first(tmp_path, frames, first):
    reads(write(tmp_path / "a.mha", first + HEADER, elements(frames)), frames)


@pytest.mark.parametrize(
    "name", ["100%.raw", "run%03d.raw", "LIST.raw", "LISTEN.raw", "List 2.raw"]
)
def test_a_percent_or_list_in_the_data_files_own_name(tmp_path, frames, name):
    (tmp_path / name).write_bytes(elements(frames))
    reads(write(tmp_path / "a.mhd", HEADER, b"", name), frames)


@pytest.mark.parametrize("where", ["LIST", "LIST 2", "image%03d.raw 1 5 1"])
def test_a_file_for_each_frame_is_refused(tmp_path, where):
    refused(write(tmp_path / "a.mhd", HEADER, b"", where), "a file for each frame is not read")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_in_latin_1_are_found_in_either_spelling(tmp_path, frames, encoding):
    name = "Prüfkörper.raw"
    (tmp_path / name).write_bytes(elements(frames))
    reads(write(tmp_path / "a.mhd", HEADER, b"", name.encode(encoding)), frames)
    if sys.platform == "linux" and encoding == "latin-1":
        (tmp_path / name).rename(tmp_path / os.fsdecode(name.encode("latin-1")))
        reads(tmp_path / "a.mhd", frames)


def test_a_data_file_that_is_longer_or_shorter_than_the_header_says(tmp_path, frames):
    raw = tmp_path / "a.raw"
    path = write(tmp_path / "a.mhd", HEADER, b"", "a.raw")
    raw.write_bytes(elements(np.concatenate([frames, frames[:2]])))
    assert any("last 2 frames are left out" in note for note in reads(path, frames))
    raw.write_bytes(b"x" * 100 + elements(frames))
    refused(path, r"a\.raw holds 48100 bytes, the header promises 48000: .*HeaderSize")
    raw.write_bytes(elements(frames)[:-1])
    refused(path, r"truncated: 47999 of the 48000 bytes .*it holds 4 of 5")
