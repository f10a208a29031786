"""Files that are no recordings: one clear line each, that names the file and what is wrong."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
import scipy.io

from rtelasto.errors import RtelastoError
from rtelasto.sources import open_recording

PHYSICS = {"sampling_freq_hz": 40e6, "center_freq_hz": 6.25e6, "line_pitch_m": 2e-4}
RF = np.random.default_rng(1).integers(-900, 900, (4, 16, 300)).astype(np.int16)


class Trap:
    """What a hostile pickle would run."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def refused(path, match, **overrides):
    with pytest.raises(RtelastoError, match=match) as caught:
        open_recording(path, **(PHYSICS | overrides))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["a.h5", "a.mhd", "a.mha", "a.mat", "a.npy", "a.npz", "a.raw"])
@pytest.mark.parametrize(
    "content", [b"", b"GIF89a" + bytes(600), b"\x00" * 600, b"hello = world\n"]
)
def test_wrong_magic(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    refused(path, "is empty" if not content else "not a recording")


def test_no_such_file_and_folder(tmp_path):
    refused(tmp_path / "gone.h5", "no such file")
    refused(tmp_path, "folder")


def save_npy(path):
    np.save(path, RF)


def save_npz(path):
    np.savez(path, rf=RF)


def save_npz_compressed(path):
    np.savez_compressed(path, rf=RF)


def save_mat(path):
    scipy.io.savemat(path, {"rf": RF.T})


def save_mat_compressed(path):
    scipy.io.savemat(path, {"rf": RF.T}, do_compression=True)


def save_h5(path):
    with h5py.File(path, "w") as file:
        file["rf"] = RF


@pytest.mark.parametrize(
    ("save", "name"),
    [
        (save_npy, "a.npy"),
        (save_npz, "a.npz"),
        (save_npz_compressed, "a.npz"),
        (save_mat, "a.mat"),
        (save_mat_compressed, "a.mat"),
        (save_h5, "a.h5"),
    ],
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.98])
def test_truncated(tmp_path, save, name, share):
    path = tmp_path / name
    save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(16, int(len(whole) * share))])
    refused(path, "truncated|damaged|holds|not a recording|not a zip|header|signature|bytes")


@pytest.mark.parametrize(
    ("save", "name"),
    [(save_npy, "a.npy"), (save_npz_compressed, "a.npz"), (save_mat, "a.mat"), (save_h5, "a.h5")],
)
def test_damaged_bytes_never_escape_as_another_exception(tmp_path, save, name):
    save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(11)
    path = tmp_path / ("damaged_" + name)
    refusals = []
    for _ in range(60):
        damaged = bytearray(whole)
        for position in rng.integers(0, min(len(whole), 2000), 4):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            with open_recording(path, **PHYSICS) as recording:
                list(recording)
        except RtelastoError as error:
            refusals.append(str(error))
    assert refusals
    assert all(message.startswith(f"{path}: ") for message in refusals)


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npy", "pickle")
    np.savez(tmp_path / "a.npz", rf=np.array([Trap()], dtype=object))
    refused(tmp_path / "a.npz", "pickle")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    refused(tmp_path / "b.npy", "not a recording")
    assert not Trap.sprung


@pytest.mark.parametrize("shape", [(0, 16, 300), (4, 0, 300), (4, 16, 0)])
def test_nothing_in_it(tmp_path, shape):
    empty = np.zeros(shape, np.int16)
    np.save(tmp_path / "a.npy", empty)
    np.savez(tmp_path / "a.npz", rf=empty)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rf"] = empty
    for name in ("a.npy", "a.npz", "a.h5"):
        assert "0" in refused(tmp_path / name, "holds no", axes="frame,line,sample")
        refused(tmp_path / name, "holds no")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sampling_freq_hz", 40.0),
        ("sampling_freq_hz", 4e12),
        ("sampling_freq_hz", float("nan")),
        ("sampling_freq_hz", -40e6),
        ("sampling_freq_hz", 9e6),
        ("center_freq_hz", 0.0),
        ("line_pitch_m", 0.2),
        ("line_pitch_m", 0.0),
        ("start_depth_m", 30.0),
        ("sound_speed_m_s", 1.54),
        ("frame_rate_hz", 0.0),
        ("frame_rate_hz", float("inf")),
        ("sampling_freq_hz", "fast"),
    ],
)
def test_absurd_values_are_named(tmp_path, name, value):
    save_npy(tmp_path / "a.npy")
    shown = f"{value:g}" if isinstance(value, float) else value
    message = refused(tmp_path / "a.npy", name, **{name: value})
    assert shown in message or "below twice" in message


def test_absurd_sampling_frequency_in_the_file(tmp_path):
    np.savez(tmp_path / "a.npz", rf=RF, sampling_freq_hz=40.0)
    with pytest.raises(RtelastoError, match=r"a\.npz: sampling_freq_hz must lie in .* got 40"):
        open_recording(tmp_path / "a.npz", line_pitch_m=2e-4, dataset="rf")
    np.savez(tmp_path / "b.npz", rf=RF, sampling_freq_hz=np.array([40e6, 50e6]))
    with pytest.raises(RtelastoError, match=r"sampling_freq_hz in the file must be one number"):
        open_recording(tmp_path / "b.npz", line_pitch_m=2e-4, dataset="rf")


def test_frames_beyond_any_scanner(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 70000), np.int8))
    refused(tmp_path / "a.npy", "n_samples must lie in 1…65536, got 70000")


def test_complex_data_are_not_rf(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 16, 300), np.complex64))
    refused(tmp_path / "a.npy", "IQ")


def test_headers_that_promise_more_than_the_file_holds(tmp_path):
    header = {"descr": "<i2", "fortran_order": False, "shape": (10**6, 128, 2608)}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(5000))
    refused(tmp_path / "a.npy", "5000 of the 667648000000 bytes")
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.npy", "rf.npy")
    refused(tmp_path / "a.npz", "promises 667648000000 bytes")


def test_chunks_too_big_to_decode(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "rf", (4096, 128, 2608), "<i2", chunks=(4096, 128, 2608), compression="gzip"
        )
    refused(tmp_path / "a.h5", "chunks of 2734686208 bytes")


def test_files_of_other_things(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"note": "hello", "s": {"a": 1.0}})
    refused(tmp_path / "a.mat", "no array of RF lines")
    refused(tmp_path / "a.mat", "'note' is char", dataset="note")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["time"] = np.arange(5)
    refused(tmp_path / "a.h5", r"no array of RF lines \(/time")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.attrs["zea_version"] = "0.1.0"
        file["tracks/track_0/data/raw_data"] = np.zeros((2, 3, 100, 8, 1), np.float32)
    refused(tmp_path / "b.h5", "beamformed")


def test_a_file_that_is_written_to_while_it_is_read(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, RF)
    with open_recording(path, **PHYSICS, axes="frame,line,sample") as recording:
        np.testing.assert_array_equal(recording.read(0), RF[0])
        path.write_bytes(path.read_bytes()[:1000])  # what is mapped is not there any more
        with pytest.raises(RtelastoError, match=r"a\.npy was written to while it was being read"):
            recording.read(1)


def test_a_file_that_is_replaced_under_its_name_is_read_as_it_was(tmp_path):
    path, other = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(path, RF)
    np.save(other, RF + 1)
    with open_recording(path, **PHYSICS, axes="frame,line,sample") as recording:
        other.replace(path)
        np.testing.assert_array_equal(recording.read(3), RF[3])
