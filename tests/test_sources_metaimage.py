"""MetaImage: the real forearm recordings, and every variant of the header that scanners write."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.sources import open_recording

HEADER = """ObjectType = Image
NDims = 3
DimSize = 24 200 5
ElementType = MET_SHORT
ElementSpacing = 0.3 0.02 1
"""


@pytest.fixture
def frames() -> np.ndarray:
    """(frame, line, sample), int16."""
    return np.random.default_rng(3).integers(-9000, 9000, (5, 24, 200)).astype(np.int16)


def write(path, header: str, data: bytes, where: str = "LOCAL"):
    """A MetaImage whose header names ``where`` as its data file."""
    path.write_bytes(f"{header}ElementDataFile = {where}\n".encode() + data)
    return path


def elements(frames, dtype="<i2") -> bytes:
    """The bytes of (frame, sample, line)."""
    return np.ascontiguousarray(frames.transpose(0, 2, 1)).astype(dtype).tobytes()


def check(path, frames, **overrides):
    with open_recording(path, center_freq_hz=5e6, **overrides) as recording:
        assert (recording.format.n_lines, recording.format.n_samples) == (24, 200)
        assert recording.format.sampling_freq_hz == pytest.approx(1540 / (2 * 0.02e-3))
        assert recording.format.line_pitch_m == pytest.approx(0.3e-3)
        for i in range(len(frames)):
            np.testing.assert_array_equal(recording.read(i), frames[i])
        return recording


@pytest.mark.parametrize("name", ["rf0300_25", "rf0304_86"])
def test_forearm_recording_is_what_its_readme_says(shared_data, name):
    path = shared_data(f"deepuse_forearm/{name}.mhd")
    raw = np.fromfile(path.with_suffix(".raw"), "<f4").reshape(6, 2000, 128)
    with open_recording(path) as recording:
        rf_format = recording.format
        assert (rf_format.n_lines, rf_format.n_samples, recording.n_frames) == (128, 2000, 6)
        assert rf_format.sampling_freq_hz == pytest.approx(38.5e6)
        assert rf_format.line_pitch_m == pytest.approx(0.2e-3)
        assert rf_format.axial_step_m == pytest.approx(0.02e-3)
        interval_s = np.diff(recording.timestamps_ns) * 1e-9
        np.testing.assert_allclose(interval_s, 0.043, atol=0.001)
        for i in range(6):
            frame = recording.read(i)
            np.testing.assert_array_equal(frame, raw[i].T)
            assert frame.max() == 1.0
            assert (frame[:, -77:] == 0).all()
        assert recording.provenance["source_data_file"] == f"{name}.raw"


def test_timestamps_keep_their_nanoseconds(shared_data):
    with open_recording(shared_data("deepuse_forearm/rf0300_25.mhd")) as recording:
        assert recording.timestamps_ns[0] == 1_602_158_620_638_356_686


def test_header_and_data_in_one_file(tmp_path, frames):
    check(write(tmp_path / "a.mha", HEADER, elements(frames)), frames)


def test_compressed(tmp_path, frames):
    header = HEADER + "CompressedData = True\n"
    check(write(tmp_path / "a.mha", header, zlib.compress(elements(frames))), frames)
    (tmp_path / "b.zraw").write_bytes(zlib.compress(elements(frames)))
    check(write(tmp_path / "b.mhd", header, b"", "b.zraw"), frames)


@pytest.mark.parametrize("key", ["ElementByteOrderMSB", "BinaryDataByteOrderMSB"])
def test_big_endian(tmp_path, frames, key):
    check(write(tmp_path / "a.mha", f"{HEADER}{key} = True\n", elements(frames, ">i2")), frames)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("MET_CHAR", "i1"),
        ("MET_UCHAR", "u1"),
        ("MET_USHORT", "<u2"),
        ("MET_INT", "<i4"),
        ("MET_LONG", "<i4"),
        ("MET_FLOAT", "<f4"),
        ("MET_DOUBLE", "<f8"),
    ],
)
def test_element_types(tmp_path, frames, kind, dtype):
    header = HEADER.replace("MET_SHORT", kind)
    path = write(tmp_path / "a.mha", header, elements(frames, dtype))
    check(path, frames.astype(dtype))


def test_header_size(tmp_path, frames):
    (tmp_path / "a.raw").write_bytes(b"x" * 100 + elements(frames))
    check(write(tmp_path / "a.mhd", HEADER + "HeaderSize = 100\n", b"", "a.raw"), frames)
    check(write(tmp_path / "b.mhd", HEADER + "HeaderSize = -1\n", b"", "a.raw"), frames)


def test_orientation_says_which_axis_is_depth_and_which_way_it_runs(tmp_path, frames):
    # First axis from far to near along the line, second from the unmarked side.
    stored = frames[:, ::-1, ::-1]
    header = HEADER.replace("24 200 5", "200 24 5").replace("0.3 0.02", "0.02 0.3")
    header += "UltrasoundImageOrientation = NUA\n"
    check(write(tmp_path / "a.mha", header, stored.tobytes()), frames)
    header = HEADER + "UltrasoundImageOrientation = MFA\n"
    check(write(tmp_path / "b.mha", header, elements(frames)), frames)


def test_finer_spacing_is_depth_where_no_orientation_is_given(tmp_path, frames):
    header = HEADER.replace("24 200 5", "200 24 5").replace("0.3 0.02", "0.02 0.3")
    check(write(tmp_path / "a.mha", header, frames.tobytes()), frames)


def test_sampling_follows_the_sound_speed(tmp_path, frames):
    path = write(tmp_path / "a.mha", HEADER, elements(frames))
    with open_recording(path, center_freq_hz=5e6, sound_speed_m_s=1480.0) as recording:
        assert recording.format.sampling_freq_hz == pytest.approx(37e6)
        assert recording.format.axial_step_m == pytest.approx(0.02e-3)


def test_spacing_of_one_says_nothing(tmp_path, frames):
    header = HEADER.replace("0.3 0.02 1", "1 1 1")
    path = write(tmp_path / "a.mha", header, elements(frames))
    with pytest.raises(RtelastoError, match=r"sampling_freq_hz, line_pitch_m"):
        open_recording(path)
    check(path, frames, sampling_freq_hz=38.5e6, line_pitch_m=0.3e-3)


def test_one_frame_of_two_dimensions(tmp_path, frames):
    header = HEADER.replace("NDims = 3", "NDims = 2").replace("24 200 5", "24 200")
    header += "Seq_Frame0000_Timestamp = 12.5\n"
    recording = check(write(tmp_path / "a.mha", header, elements(frames[:1])), frames[:1])
    assert recording.n_frames == 1
    assert recording.timestamps_ns.tolist() == [12_500_000_000]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("24 200 5", "24 0 5"), "24 0 5"),
        (("24 200 5", "24 200"), "DimSize"),
        (("24 200 5", "24 x 5"), "24 x 5"),
        (("24 200 5", "24 200 500000000"), "truncated"),
        (("24 200 5", "100000 90000 1"), "truncated"),
        (("MET_SHORT", "MET_STRING"), "MET_STRING"),
        (("NDims", "ElementNumberOfChannels = 2\nNDims"), "ElementNumberOfChannels is 2"),
        (("NDims", "BinaryData = False\nNDims"), "BinaryData"),
        (("NDims", "Seq_Frame0000_Timestamp = soon\nNDims"), "soon"),
    ],
)
def test_bad_headers_are_told_in_one_line(tmp_path, frames, change, says):
    path = write(tmp_path / "a.mha", HEADER.replace(*change), elements(frames))
    with pytest.raises(RtelastoError, match=says) as caught:
        open_recording(path, center_freq_hz=5e6)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["gone.raw", "LIST", "slice%03d.raw"])
def test_data_files_that_cannot_be_read(tmp_path, where):
    path = write(tmp_path / "a.mhd", HEADER, b"", where)
    with pytest.raises(RtelastoError, match=where):
        open_recording(path)


def test_compressed_data_that_are_too_few_too_many_or_a_bomb(tmp_path, frames):
    header = HEADER + "CompressedData = True\n"
    packed = zlib.compress(elements(frames))
    for data, says in (
        (packed[: len(packed) // 2], "truncated"),
        (zlib.compress(elements(frames) + b"more"), "more than"),
        (b"not zlib" + packed, "header check"),
    ):
        with pytest.raises(RtelastoError, match=says):
            open_recording(write(tmp_path / "a.mha", header, data), center_freq_hz=5e6)
    huge = header.replace("24 200 5", "128 2000 1000000")
    with pytest.raises(RtelastoError, match=f"{128 * 2000 * 1000000 * 2} bytes"):
        open_recording(write(tmp_path / "b.mha", huge, packed), center_freq_hz=5e6)


def test_header_without_its_end(tmp_path):
    (tmp_path / "a.mhd").write_text(HEADER)
    with pytest.raises(RtelastoError, match="ElementDataFile"):
        open_recording(tmp_path / "a.mhd")
