"""The same frames come out of every file format, whatever the file is called."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.sources import open_recording

PHYSICS = {"sampling_freq_hz": 40e6, "center_freq_hz": 6.25e6, "line_pitch_m": 2e-4}
FORMAT = RfFormat(n_lines=24, n_samples=200, **PHYSICS)


@pytest.fixture
def frames() -> np.ndarray:
    """(frame, line, sample), int16."""
    return np.random.default_rng(3).integers(-9000, 9000, (5, 24, 200)).astype(np.int16)


def save_npy(path, frames):
    np.save(path, frames)


def save_npz(path, frames):
    np.savez(path, rf=frames)


def save_npz_compressed(path, frames):
    np.savez_compressed(path, rf=frames.transpose(0, 2, 1))


def save_mat5(path, frames):
    scipy.io.savemat(path, {"rf": frames.transpose(2, 1, 0)})


def save_mat5_compressed(path, frames):
    scipy.io.savemat(path, {"rf": frames.transpose(1, 2, 0)}, do_compression=True)


def save_mat73(path, frames):
    """As MATLAB writes save -v7.3 of [samples, lines, frames]: HDF5 behind 512 bytes of text."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["rf"] = frames
        file["rf"].attrs["MATLAB_class"] = np.bytes_("int16")
        file["gain"] = np.ones((1, 1))
        file["gain"].attrs["MATLAB_class"] = np.bytes_("double")
        file.create_group("#refs#")["a"] = np.zeros((9, 9, 9))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def save_hdf5(path, frames):
    with h5py.File(path, "w") as file:
        file.create_dataset("run/rf", data=frames, chunks=(1, 24, 200), compression="gzip")
        file["run/time"] = np.arange(5.0)


def save_hdf5_transposed(path, frames):
    with h5py.File(path, "w") as file:
        file["rf"] = frames.transpose(0, 2, 1)


WRITERS = [
    (save_npy, "a.npy"),
    (save_npz, "a.npz"),
    (save_npz_compressed, "a.npz"),
    (save_mat5, "a.mat"),
    (save_mat5_compressed, "a.mat"),
    (save_mat73, "a.mat"),
    (save_hdf5, "a.h5"),
    (save_hdf5_transposed, "a.hdf5"),
]


@pytest.mark.parametrize(("save", "name"), WRITERS)
def test_frames_come_out_as_they_went_in(tmp_path, frames, save, name):
    path = tmp_path / name
    save(path, frames)
    with open_recording(path, **PHYSICS, frame_rate_hz=50.0) as recording:
        assert recording.format == FORMAT
        assert len(recording) == recording.n_frames == 5
        np.testing.assert_array_equal(recording.timestamps_ns, np.arange(5) * 20_000_000)
        for i in (4, 0, 2, -1):
            read = recording.read(i)
            assert read.dtype == np.int16
            assert read.flags.c_contiguous
            np.testing.assert_array_equal(read, frames[i])
        kept = list(recording)
        provenance = recording.provenance
    for i, frame in enumerate(kept):
        np.testing.assert_array_equal(frame.samples, frames[i])
        assert (frame.frame_id, frame.acquired_ns) == (i, i * 20_000_000)
    assert provenance["source_file"] == name
    assert provenance["source_size_bytes"] == path.stat().st_size
    assert len(provenance["source_sha256_first_mib"]) == 64
    assert "sampling_freq_hz: given" in provenance["format_from"]
    assert "sound_speed_m_s: assumed" in provenance["format_from"]


@pytest.mark.parametrize(("save", "name"), WRITERS)
def test_what_a_file_is_goes_by_its_content(tmp_path, frames, save, name):
    path = tmp_path / name
    save(path, frames)
    renamed = path.rename(tmp_path / "scan.dat")
    with open_recording(renamed, **PHYSICS) as recording:
        np.testing.assert_array_equal(recording.read(3), frames[3])


def test_everything_missing_is_asked_for_in_one_line(tmp_path):
    path = tmp_path / "square.npy"
    np.save(path, np.zeros((256, 256)))
    with pytest.raises(RtelastoError) as caught:
        open_recording(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    for name in ("axes", "sampling_freq_hz", "line_pitch_m"):
        assert name in message
        assert "--" + name.replace("_", "-") in message
    assert "(256, 256)" in message
    assert "center_freq_hz" not in message


def test_axes_are_asked_for_in_the_order_that_matlab_shows(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"rf": np.zeros((334, 128, 32))})
    with pytest.raises(RtelastoError, match=r"\(334, 128, 32\), e.g. sample,line,frame"):
        open_recording(path, **PHYSICS)
    with open_recording(path, **PHYSICS, axes="sample,line,frame") as recording:
        assert (recording.n_frames, recording.format.n_lines) == (32, 128)


def test_a_guessed_order_is_told(tmp_path, frames):
    path = tmp_path / "a.mat"
    save_mat5(path, frames)
    with open_recording(path, **PHYSICS) as recording:
        assert any("sample,line,frame" in note for note in recording.notes)
    with open_recording(path, **PHYSICS, axes="sample,line,frame") as recording:
        assert recording.notes == ()


@pytest.mark.parametrize("center_freq_hz", [None, "estimate"])
def test_centre_frequency_is_estimated_and_said_to_be(tmp_path, center_freq_hz):
    z = np.arange(2000)
    rng = np.random.default_rng(5)
    tone = np.cos(2 * np.pi * 5e6 / 40e6 * z + rng.uniform(0, 2 * np.pi, (3, 32, 1)))
    np.save(tmp_path / "a.npy", tone.astype(np.float32))
    with open_recording(
        tmp_path / "a.npy",
        sampling_freq_hz=40e6,
        line_pitch_m=2e-4,
        center_freq_hz=center_freq_hz,
    ) as recording:
        assert recording.format.center_freq_hz == pytest.approx(5e6, rel=1e-3)
        assert any("5.00 MHz" in note for note in recording.notes)
        assert "center_freq_hz: estimated" in recording.provenance["format_from"]


def test_constant_frames_open_when_the_centre_frequency_is_given(tmp_path):
    np.save(tmp_path / "flat.npy", np.full((3, 16, 100), 7, np.int16))
    with open_recording(tmp_path / "flat.npy", **PHYSICS) as recording:
        assert (recording.read(1) == 7).all()
    with pytest.raises(RtelastoError, match=r"no echo.*--center-freq-hz"):
        open_recording(tmp_path / "flat.npy", sampling_freq_hz=40e6, line_pitch_m=2e-4)


def test_frames_with_nan_open_and_keep_it(tmp_path, frames):
    damaged = frames.astype(np.float32)
    damaged[2, 3, 4] = np.nan
    np.save(tmp_path / "a.npy", damaged)
    with open_recording(tmp_path / "a.npy", **PHYSICS) as recording:
        np.testing.assert_array_equal(recording.read(2), damaged[2])


def test_a_single_frame_is_a_recording(tmp_path, frames):
    np.save(tmp_path / "one.npy", frames[0])
    with open_recording(tmp_path / "one.npy", **PHYSICS) as recording:
        assert recording.n_frames == 1
        np.testing.assert_array_equal(recording.read(0), frames[0])


def test_a_file_says_its_own_physics_and_times(tmp_path, frames):
    times = np.array([5.0, 5.04, 5.09, 5.12, 5.2])
    said = PHYSICS | {"start_depth_m": 3e-3, "sound_speed_m_s": 1480.0}
    np.savez(tmp_path / "a.npz", rf=frames, timestamps_s=times, **said)
    scipy.io.savemat(tmp_path / "a.mat", {"rf": frames.T, "timestamps_s": times, **said})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rf"] = frames
        file["rf"].attrs.update(PHYSICS)
        file.attrs["start_depth_m"] = 3e-3
        file["sound_speed_m_s"] = 1480.0
        file["timestamps_ns"] = np.rint(times * 1e9).astype(np.int64)
    for name in ("a.npz", "a.mat", "a.h5"):
        with open_recording(tmp_path / name, dataset="rf") as recording:
            assert recording.format == RfFormat(n_lines=24, n_samples=200, **said)
            np.testing.assert_array_equal(recording.timestamps_ns, np.rint(times * 1e9))
        with open_recording(tmp_path / name, dataset="rf", line_pitch_m=5e-4) as recording:
            assert recording.format.line_pitch_m == 5e-4


def test_timestamps_that_do_not_rise_are_left_out_and_said_to_be(tmp_path, frames):
    np.savez(tmp_path / "a.npz", rf=frames, timestamps_s=np.array([0.0, 1.0, 1.0, 2.0, 3.0]))
    with open_recording(tmp_path / "a.npz", dataset="rf", **PHYSICS) as recording:
        assert recording.timestamps_ns is None
        assert any("timestamps" in note for note in recording.notes)


def test_several_arrays_are_listed_and_one_is_named(tmp_path, frames):
    np.savez(tmp_path / "a.npz", before=frames, after=frames + 1)
    scipy.io.savemat(tmp_path / "a.mat", {"before": frames.T, "after": frames.T + 1})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["before"], file["after"] = frames, frames + 1
    for name in ("a.npz", "a.mat", "a.h5"):
        with pytest.raises(RtelastoError, match=r"(?s)before.*--dataset|after.*before.*--dataset"):
            open_recording(tmp_path / name, **PHYSICS)
        with open_recording(tmp_path / name, **PHYSICS, dataset="after") as recording:
            np.testing.assert_array_equal(recording.read(1), frames[1] + 1)
        with pytest.raises(RtelastoError, match="'missing'"):
            open_recording(tmp_path / name, **PHYSICS, dataset="missing")


def test_reading_beyond_the_end_and_after_closing(tmp_path, frames):
    np.save(tmp_path / "a.npy", frames)
    recording = open_recording(tmp_path / "a.npy", **PHYSICS)
    with pytest.raises(IndexError):
        recording.read(5)
    recording.close()
    recording.close()
    with pytest.raises(ValueError, match="closed"):
        recording.read(0)
