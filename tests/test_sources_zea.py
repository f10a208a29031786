"""HDF5 files in zea's layout that rtelasto did not write."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.sources import open_recording

N_FRAMES, N_DEPTHS, N_LINES = 3, 500, 32
STEP_M, PITCH_M = 1540 / 2 / 40e6, 2e-4


@pytest.fixture
def frames() -> np.ndarray:
    """(frame, line, sample)."""
    return np.random.default_rng(8).standard_normal((N_FRAMES, N_LINES, N_DEPTHS)).astype("f4")


def positions() -> np.ndarray:
    grid = np.zeros((N_DEPTHS, N_LINES, 3), np.float32)
    grid[:, :, 0] = PITCH_M * (np.arange(N_LINES) - (N_LINES - 1) / 2)
    grid[:, :, 2] = 5e-3 + STEP_M * np.arange(N_DEPTHS)[:, None]
    return grid


def write(path, frames, *, track="tracks/track_0", coordinates=None, channels=1, scan=None):
    with h5py.File(path, "a") as file:
        file.attrs["zea_version"] = "0.1.8"
        values = np.repeat(frames.transpose(0, 2, 1)[..., None], channels, axis=3)
        group = file.create_group(f"{track}/data/beamformed_data")
        group.create_dataset("values", data=values, compression="gzip", shuffle=True)
        if coordinates is not None:
            group["coordinates"] = coordinates
        group["timestamps"] = np.array([0.0, 0.04, 0.08], np.float32)
        group["start_time_offset"] = np.float32(0)
        for name, value in (scan or {}).items():
            file[f"{track}/scan/{name}"] = value
    return path


@pytest.mark.parametrize("track", ["tracks/track_0", ""])
@pytest.mark.parametrize("moving", [False, True])
def test_geometry_is_read_off_the_pixel_positions(tmp_path, frames, track, moving):
    coordinates = positions()
    if moving:
        coordinates = np.stack([coordinates] * N_FRAMES)
    scan = {
        "sampling_frequency": np.float32(62.5e6),  # of the channel data, not of the image
        "center_frequency": np.full(11, 7.5e6, np.float32),
        "sound_speed": np.float32(1540),
    }
    path = write(tmp_path / "a.h5", frames, track=track, coordinates=coordinates, scan=scan)
    with open_recording(path) as recording:
        rf_format = recording.format
        assert (rf_format.n_lines, rf_format.n_samples) == (N_LINES, N_DEPTHS)
        assert rf_format.sampling_freq_hz == pytest.approx(40e6, rel=1e-4)
        assert rf_format.line_pitch_m == pytest.approx(PITCH_M, rel=1e-4)
        assert rf_format.start_depth_m == pytest.approx(5e-3, rel=1e-4)
        assert rf_format.center_freq_hz == 7.5e6
        np.testing.assert_allclose(recording.timestamps_ns, [0, 40e6, 80e6], atol=10)
        for i in range(N_FRAMES):
            np.testing.assert_array_equal(recording.read(i), frames[i])


def test_without_positions_the_scan_counts_and_the_pitch_is_asked_for(tmp_path, frames):
    scan = {"sampling_frequency": np.float32(40e6), "center_frequency": np.float32(7.5e6)}
    path = write(tmp_path / "a.h5", frames, scan=scan)
    with pytest.raises(RtelastoError, match=r"does not say line_pitch_m: give --line-pitch-m$"):
        open_recording(path)
    with open_recording(path, line_pitch_m=3e-4) as recording:
        assert recording.format.sampling_freq_hz == 40e6
        assert recording.format.line_pitch_m == 3e-4


def test_of_several_tracks_one_is_named(tmp_path, frames):
    path = write(tmp_path / "a.h5", frames, coordinates=positions())
    write(path, frames + 1, track="tracks/track_1", coordinates=positions())
    with pytest.raises(RtelastoError, match=r"2 tracks.*track_1.*--dataset"):
        open_recording(path, center_freq_hz=7e6)
    with open_recording(path, center_freq_hz=7e6, dataset="tracks/track_1") as recording:
        np.testing.assert_array_equal(recording.read(0), frames[0] + 1)


def test_iq_curved_grids_and_volumes_are_refused(tmp_path, frames):
    path = write(tmp_path / "iq.h5", frames, coordinates=positions(), channels=2)
    with pytest.raises(RtelastoError, match="IQ"):
        open_recording(path)
    curved = positions()
    curved[:, :, 2] += 1e-4 * np.arange(N_LINES)
    with pytest.raises(RtelastoError, match="regular grid"):
        open_recording(write(tmp_path / "curved.h5", frames, coordinates=curved))
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        file.attrs["zea_version"] = "0.1.8"
        file["data/beamformed_data/values"] = np.zeros((1, 90, 8, 8, 1), np.float32)
    with pytest.raises(RtelastoError, match=r"\(1, 90, 8, 8, 1\)"):
        open_recording(tmp_path / "volume.h5")


def test_an_unknown_compression_names_the_package_that_brings_it(tmp_path, frames):
    path = write(tmp_path / "a.h5", frames)
    with h5py.File(path, "a") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, N_DEPTHS, N_LINES, 1))
        # 256–511 are set aside for filters in testing: no package brings this one.
        plist.set_filter(300, h5py.h5z.FLAG_OPTIONAL)
        group = file["tracks/track_0/data/beamformed_data"]
        del group["values"]
        space = h5py.h5s.create_simple((N_FRAMES, N_DEPTHS, N_LINES, 1))
        h5py.h5d.create(group.id, b"values", h5py.h5t.IEEE_F32LE, space, plist)
    with pytest.raises(RtelastoError, match=r"HDF5 filter 300.*rtelasto\[zea\]"):
        open_recording(path)
