"""What other programs write: npz with more in it, dates, old zea files, UFF, Clarius."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest

from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import IqFormat
from rtelasto.sources import open_recording

PHYSICS = {"sampling_freq_hz": 40e6, "center_freq_hz": 6.25e6, "line_pitch_m": 2e-4}
RF = np.random.default_rng(1).integers(-900, 900, (4, 16, 300)).astype(np.int16)


def refused(path, match, **options):
    with pytest.raises(RtelastoError, match=match) as caught:
        open_recording(path, **(PHYSICS | options))
    assert str(caught.value).isprintable()


def test_a_pickled_member_of_an_npz_leaves_the_others_readable(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, rf=RF, settings=np.array([{"gain": 3}], dtype=object))
    for options in ({}, {"dataset": "rf"}):
        with open_recording(path, **PHYSICS, **options) as recording:
            np.testing.assert_array_equal(recording.read(2), RF[2])
    refused(path, r"'settings' cannot be read: .*pickle", dataset="settings")


def test_scalars_with_axes_are_no_candidates(tmp_path):
    gain, window = np.ones((1, 1)), np.hanning(40)[:, None]
    np.savez(tmp_path / "a.npz", rf=RF, gain=gain, window=window, line_pitch_m=[[2e-4]])
    with open_recording(tmp_path / "a.npz", sampling_freq_hz=40e6, center_freq_hz=6e6) as recording:
        assert recording.format.line_pitch_m == 2e-4
        np.testing.assert_array_equal(recording.read(2), RF[2])


@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
def test_datetime64_times_are_used(tmp_path, unit):
    start = np.datetime64("2024-05-06T07:08:09.120", unit)
    times = start + np.arange(4) * np.timedelta64(40, "ms")
    np.savez(tmp_path / "a.npz", rf=RF, timestamps_ns=times)
    with open_recording(tmp_path / "a.npz", **PHYSICS) as recording:
        assert recording.timestamps_ns[0] == 1_714_979_289_120_000_000
        np.testing.assert_array_equal(np.diff(recording.timestamps_ns), 40_000_000)
        assert not any("left out" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (np.array([0.0, 0.1, np.nan, 0.3]), "timestamps_s left out: 1 of 4 are NaN"),
        (np.array([0, 1, "NaT", 3], "M8[s]"), "1 of 4 are NaT"),
        (np.array([1e12] * 4), "beyond the year"),
        (np.array(["a", "b", "c", "d"]), "numbers or dates are expected"),
    ],
)
def test_times_that_cannot_be_used_are_said_to_be_left_out(tmp_path, times, says):
    np.savez(tmp_path / "a.npz", rf=RF, timestamps_s=times)
    paths = [tmp_path / "a.npz"]
    if times.dtype.kind == "f":
        paths.append(tmp_path / "a.h5")
        with h5py.File(paths[1], "w") as file:
            file["rf"], file["timestamps_s"] = RF, times
    for path in paths:
        with open_recording(path, **PHYSICS) as recording:
            assert recording.timestamps_ns is None
            assert any(says in note and "--frame-rate-hz" in note for note in recording.notes)


def test_zea_before_0_1_0_is_read(tmp_path):
    path = tmp_path / "old.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["probe"] = "generic"
        file["data/beamformed_data"] = RF.transpose(0, 2, 1)[..., None].astype(np.float32)
        file["scan/sampling_frequency"] = 40e6
        file["scan/center_frequency"] = 6.25e6
    for dataset in (None, "data/beamformed_data"):
        with open_recording(path, line_pitch_m=2e-4, dataset=dataset) as recording:
            assert recording.n_frames == 4
            assert recording.format.sampling_freq_hz == 40e6
            np.testing.assert_array_equal(recording.read(3), RF[3])


@pytest.mark.parametrize("falling", [("line",), ("sample",), ("line", "sample")])
def test_zea_positions_that_fall_are_turned_round(tmp_path, falling):
    grid = np.zeros((300, 16, 3), np.float32)
    grid[:, :, 0] = 2e-4 * (np.arange(16) - 7.5)
    grid[:, :, 2] = 5e-3 + 1540 / 80e6 * np.arange(300)[:, None]
    stored = RF.transpose(0, 2, 1)[..., None].astype(np.float32)
    if "line" in falling:
        grid, stored = grid[:, ::-1], stored[:, :, ::-1]
    if "sample" in falling:
        grid, stored = grid[::-1], stored[:, ::-1]
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["zea_version"] = "0.1.8"
        file["data/beamformed_data/values"] = stored
        file["data/beamformed_data/coordinates"] = grid
    with open_recording(path, center_freq_hz=6.25e6) as recording:
        assert recording.format.start_depth_m == pytest.approx(5e-3, rel=1e-5)
        assert recording.format.line_pitch_m == pytest.approx(2e-4, rel=1e-5)
        np.testing.assert_array_equal(recording.read(1), RF[1])


def uff(path, data, *, modulation_frequency, scan=None, center_frequency=6.25e6):
    pyuff = pytest.importorskip("pyuff_ustb")
    scan = scan or pyuff.LinearScan(
        x_axis=2e-4 * (np.arange(16) - 7.5), z_axis=5e-3 + 1540 / 50e6 * np.arange(120)
    )
    beamformed = pyuff.BeamformedData(
        scan=scan,
        data=data,
        pulse=pyuff.Pulse(center_frequency=center_frequency),
        modulation_frequency=modulation_frequency,
        sampling_frequency=25e6,
    )
    beamformed.write(str(path), "b_data", ignore_missing_compulsory_fields=True)
    return path


def test_beamformed_rf_of_uff_is_read(tmp_path):
    frames = np.random.default_rng(3).normal(0, 100, (5, 16, 120)).astype(np.float32)
    data = frames.reshape(5, -1).T[:, None, None, :]  # (pixel, channel, wave, frame)
    path = uff(tmp_path / "a.uff", data, modulation_frequency=0.0)
    with open_recording(path) as recording:
        assert (recording.n_frames, recording.format.n_lines) == (5, 16)
        assert recording.format.sampling_freq_hz == pytest.approx(25e6)
        assert recording.format.start_depth_m == pytest.approx(5e-3)
        assert recording.format.center_freq_hz == 6.25e6
        np.testing.assert_allclose(recording.read(4), frames[4], rtol=1e-6)
    as_matlab_writes(path)
    with open_recording(path) as recording:
        np.testing.assert_allclose(recording.read(4), frames[4], rtol=1e-6)


def as_matlab_writes(path):
    """USTB's own files have the axes of the data the other way round."""
    with h5py.File(path, "a") as file:
        group = (
            file["b_data/data"] if isinstance(file["b_data/data"], h5py.Group) else file["b_data"]
        )
        for name in ("real", "imag") if group.name.endswith("data/data") else ("data",):
            values, attributes = group[name][()], dict(group[name].attrs)
            del group[name]
            group[name] = values.T
            group[name].attrs.update(attributes)


@pytest.mark.parametrize("modulation_frequency", [0.0, 6e6])
def test_beamformed_iq_of_uff_becomes_rf_lines(tmp_path, modulation_frequency):
    rng = np.random.default_rng(3)
    frames = (rng.normal(size=(5, 16, 120)) + 1j * rng.normal(size=(5, 16, 120))).astype("c8")
    data = frames.reshape(5, -1).T[:, None, None, :]
    path = uff(tmp_path / "a.uff", data, modulation_frequency=modulation_frequency)
    remodulate = Remodulator(
        IqFormat(
            n_lines=16,
            n_samples=120,
            sampling_freq_hz=25e6,
            demodulation_freq_hz=modulation_frequency or 6.25e6,
            center_freq_hz=6.25e6,
            line_pitch_m=2e-4,
            start_depth_m=5e-3,
            carrier="removed" if modulation_frequency else "kept",
        )
    )
    for change in (lambda path: None, as_matlab_writes):
        change(path)
        with open_recording(path) as recording:
            assert recording.n_frames == 5
            assert recording.format.n_samples == remodulate.format.n_samples
            np.testing.assert_allclose(recording.read(2), remodulate(frames[2]), atol=1e-3)


def test_beamformed_uff_that_is_no_rf_lines_says_what_to_do(tmp_path):
    pyuff = pytest.importorskip("pyuff_ustb")
    sector = pyuff.SectorScan(
        azimuth_axis=np.linspace(-0.3, 0.3, 16),
        depth_axis=np.linspace(0.01, 0.05, 120),
        origin=pyuff.Point(distance=0.0, azimuth=0.0, elevation=0.0),
    )
    data = np.zeros((1920, 1, 1, 2), np.float32)
    path = uff(tmp_path / "a.uff", data, modulation_frequency=0.0, scan=sector)
    refused(path, r"SectorScan, not on parallel lines: beamform it on a uff\.linear_scan")
    waves = np.zeros((1920, 1, 3, 2), np.float32)
    path = uff(tmp_path / "b.uff", waves, modulation_frequency=0.0)
    refused(path, "several waves or channels: beamform it")


@pytest.mark.parametrize(
    ("kind", "dtype", "per_sample", "says"),
    [
        (2, "<i2", 1, r"Clarius RF file.*--axes"),
        (0, "<i2", 2, "Clarius file of IQ"),
        (1, "u1", 1, "envelope"),
    ],
)
def test_a_clarius_file_is_recognised(tmp_path, kind, dtype, per_sample, says):
    frame = np.zeros(16 * 300 * per_sample, dtype).tobytes()
    size = np.dtype(dtype).itemsize * per_sample
    raw = struct.pack("<5i", kind, 4, 16, 300, size)
    raw += b"".join(struct.pack("<q", i) + frame for i in range(4))
    path = tmp_path / "scan_rf.raw"
    path.write_bytes(raw)
    refused(path, says)


def test_raw_samples_name_the_header_beside_them_or_say_that_there_is_none(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(RF.tobytes())
    refused(path, r"samples alone do not describe themselves")
    (tmp_path / "a.mhd").write_text("NDims = 3\n")
    refused(path, r"open a\.mhd beside it")
