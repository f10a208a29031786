"""HDF5 files: they come back as they went in, open in zea, and never appear half-written."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.metadata import version

import h5py
import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sources import open_recording
from rtelasto.sources.strain_file import StrainFile
from rtelasto_engines.simulate.motion import DisplacementField, truth_between

# 250/7 MHz and the rest are not single-precision numbers: zea's own places would round them.
FORMAT = RfFormat(
    n_lines=24,
    n_samples=300,
    sampling_freq_hz=250e6 / 7,
    center_freq_hz=250e6 / 28,
    line_pitch_m=0.1979e-3,
    start_depth_m=1.1e-3,
    sound_speed_m_s=1537.3,
)
FURTHER = ("lateral_displacement_m", "lateral_strain", "axial_strain_std")
START_NS = 1_602_158_620_638_356_686


def rf_frames(dtype, n_frames: int = 4) -> list[RfFrame]:
    samples = np.random.default_rng(2).integers(-9000, 9000, (n_frames, 24, 300)).astype(dtype)
    return [
        RfFrame(
            samples[i], FORMAT, FrameStamp(frame_id=7 + i, acquired_ns=START_NS + i * 43_000_001)
        )
        for i in range(n_frames)
    ]


def strain_frames(grid: Grid, n_frames: int = 3) -> list[StrainFrame]:
    rng = np.random.default_rng(4)
    frames = []
    for i in range(n_frames):
        strain = rng.normal(-0.01, 0.002, grid.shape).astype(np.float32)
        frames.append(
            StrainFrame(
                strain,
                (1e-3 * strain).astype(np.float32),
                rng.uniform(0, 1, grid.shape).astype(np.float32),
                grid,
                frame_ids=(i, i + 2),
                acquired_ns=START_NS + i * 43_000_001,
                engine="ncc",
                quality=0.9 - 0.1 * i,
                applied_strain=-0.01 * i,
                poor_share=0.125 * i,
                drops={"pair.gap": i},
                age_ns=None if i == 0 else 10**9 * i,
                stale=i == 2,
            )
        )
    return frames


def leftovers(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_a_recording_comes_back_exactly(tmp_path, dtype):
    frames = rf_frames(dtype)
    with RecordingWriter(tmp_path / "a.h5", FORMAT, provenance={"seed": 3}) as writer:
        for frame in frames:
            writer.write(frame)
    assert leftovers(tmp_path) == ["a.h5"]
    with open_recording(tmp_path / "a.h5") as recording:
        assert recording.format == FORMAT
        assert recording.dtype == dtype
        assert recording.notes == ()
        assert recording.truth is None
        assert recording.provenance["recording_seed"] == "3"
        assert recording.timestamps_ns.tolist() == [frame.acquired_ns for frame in frames]
        for i, frame in enumerate(frames):
            np.testing.assert_array_equal(recording.read(i), frame.samples)
            assert recording.read(i).dtype == dtype


def test_wide_types_come_back_in_single_precision(tmp_path):
    frames = rf_frames(np.float64)
    with RecordingWriter(tmp_path / "a.h5", FORMAT) as writer:
        for frame in frames:
            writer.write(frame)
    with open_recording(tmp_path / "a.h5") as recording:
        assert recording.read(0).dtype == np.float32
        np.testing.assert_array_equal(recording.read(0), frames[0].samples.astype(np.float32))


def test_frame_rate_makes_the_times(tmp_path):
    with RecordingWriter(tmp_path / "a.h5", FORMAT, frame_rate_hz=30.0) as writer:
        for frame in rf_frames(np.int16):
            writer.write(frame)
    with open_recording(tmp_path / "a.h5") as recording:
        assert recording.timestamps_ns.tolist() == [0, 33333333, 66666667, 100000000]


def test_a_recording_without_times_has_none(tmp_path):
    with RecordingWriter(tmp_path / "a.h5", FORMAT) as writer:
        writer.write(RfFrame(np.zeros((24, 300), np.int16), FORMAT))
        writer.write(RfFrame(np.ones((24, 300), np.int16), FORMAT))
    with open_recording(tmp_path / "a.h5") as recording:
        assert recording.timestamps_ns is None
        assert recording.notes == ()


def test_truth_between_any_two_frames(tmp_path):
    still = DisplacementField.zero(width_m=6e-3, depth_m=8e-3)
    bulge = 1e-5 * np.exp(-((still.x_m[:, None] / 2e-3) ** 2) - ((still.z_m / 3e-3 - 1) ** 2))
    fields = [
        DisplacementField(
            still.axial_m + i * bulge, still.lateral_m, -3e-3, 0.0, still.dx_m, still.dz_m
        ).plus_affine(axial_slope=-0.01 * i, lateral_slope=0.004 * i)
        for i in range(4)
    ]
    with RecordingWriter(tmp_path / "a.h5", FORMAT) as writer:
        for frame, field in zip(rf_frames(np.int16), fields, strict=True):
            writer.write(frame, field)
    coarse = Grid(24, 50, 6 * FORMAT.axial_step_m, FORMAT.line_pitch_m, FORMAT.start_depth_m)
    with open_recording(tmp_path / "a.h5") as recording:
        for i, j in ((0, 1), (1, 3), (3, 0)):
            expected = truth_between(fields[i], fields[j], FORMAT.grid)
            held = recording.truth.between(i, j)
            np.testing.assert_array_equal(held.axial_displacement_m, expected.axial_displacement_m)
            np.testing.assert_array_equal(held.axial_strain, expected.axial_strain)
        assert recording.truth.between(1, 2, coarse).axial_strain.shape == (24, 50)
        with pytest.raises(IndexError):
            recording.truth.between(0, 4)
    with h5py.File(tmp_path / "a.h5") as file:
        stored = file["custom/truth/axial_strain"][2]
    x, z = fields[2].x_m[:, None], fields[2].z_m
    np.testing.assert_allclose(stored, fields[2].gradient(x, z).u_z)
    # −2 % of slope everywhere, and the bulge's own derivative on top of it.
    np.testing.assert_allclose(stored[0, :4], -0.02, atol=1e-3)


def test_strain_is_stored_in_percent_with_its_grid_and_provenance(tmp_path):
    grid = Grid(24, 40, 7.5 * FORMAT.axial_step_m, FORMAT.line_pitch_m, FORMAT.start_depth_m)
    frames = strain_frames(grid)
    writer = StrainWriter(tmp_path / "out.h5", FORMAT, {"command": "process a.h5", "seed": 3})
    with writer:
        for frame in frames:
            writer.write(frame)
    with h5py.File(tmp_path / "out.h5") as file:
        data = file["tracks/track_0/data"]
        strain = data["strain_percentage_map"]
        assert strain["unit"].asstr()[()] == "%"
        assert data["axial_displacement/unit"].asstr()[()] == "m"
        for i, frame in enumerate(frames):
            for name, image in (
                ("strain_percentage_map", 100 * frame.axial_strain),
                ("axial_displacement", frame.axial_displacement_m),
                ("correlation", frame.correlation),
            ):
                np.testing.assert_array_equal(data[name]["values"][i], image.T)
        positions = strain["coordinates"][()]
        assert positions.shape == (40, 24, 3)
        np.testing.assert_allclose(positions[:, 3, 2], grid.depth_m, rtol=1e-6)
        np.testing.assert_allclose(positions[9, :, 0], grid.lateral_m, rtol=1e-6)
        assert data["correlation/coordinates"] == strain["coordinates"]
        np.testing.assert_allclose(strain["timestamps"], np.arange(3) * 0.043000001, rtol=1e-6)
        custom = file["custom"]
        np.testing.assert_array_equal(custom["frame_ids"], [(0, 2), (1, 3), (2, 4)])
        assert custom["acquired_ns"][2] == START_NS + 2 * 43_000_001
        np.testing.assert_array_equal(custom["age_ns"], [-1, 10**9, 2 * 10**9])
        np.testing.assert_array_equal(custom["stale"], [0, 0, 1])
        np.testing.assert_allclose(custom["quality"], [0.9, 0.8, 0.7], rtol=1e-6)
        np.testing.assert_allclose(custom["applied_strain"], [0.0, -0.01, -0.02], rtol=1e-6)
        np.testing.assert_array_equal(custom["poor_share"], [0.0, 0.125, 0.25])
        assert custom["rf_format/sampling_freq_hz"][()] == FORMAT.sampling_freq_hz
        assert custom["provenance/command"].asstr()[()] == "process a.h5"
        assert custom["provenance/seed"][()] == 3
        assert custom["provenance/rtelasto_version"].asstr()[()] == version("rtelasto")
        assert custom["engine"].asstr()[()] == "ncc"
        assert custom["drops/pair_gap"][()] == 2
    with StrainFile(tmp_path / "out.h5") as written:
        for found, frame in zip(written, frames, strict=True):
            assert (found.age_ns, found.stale) == (frame.age_ns, frame.stale)
            assert found.poor_share == frame.poor_share


def test_a_strain_file_from_before_the_share_of_poor_pixels_still_opens(tmp_path):
    with StrainWriter(tmp_path / "out.h5", FORMAT) as writer:
        for frame in strain_frames(FORMAT.grid):
            writer.write(frame)
    with h5py.File(tmp_path / "out.h5", "r+") as file:
        del file["custom/poor_share"]
    with StrainFile(tmp_path / "out.h5") as written:
        assert [frame.quality for frame in written] == pytest.approx([0.9, 0.8, 0.7])
        assert all(math.isnan(frame.poor_share) for frame in written)


@pytest.mark.parametrize("given", [(), ("axial_strain_std",), FURTHER])
def test_lateral_motion_and_its_certainty_come_back(tmp_path, given):
    rng = np.random.default_rng(6)
    frames = [
        frame.replace(**{name: rng.normal(0, 1e-3, (24, 300)).astype("f4") for name in given})
        for frame in strain_frames(FORMAT.grid)
    ]
    later_ns = frames[-1].acquired_ns + 43_000_001
    without = frames[0].replace(acquired_ns=later_ns, **dict.fromkeys(given))
    with StrainWriter(tmp_path / "out.h5", FORMAT) as writer:
        for frame in (*frames, without):
            writer.write(frame)
    with StrainFile(tmp_path / "out.h5") as written:
        *read, last = written
    for found, frame in zip(read, frames, strict=True):
        for name in FURTHER:
            if name in given:
                np.testing.assert_allclose(getattr(found, name), getattr(frame, name), rtol=1e-6)
                assert np.isnan(getattr(last, name)).all()
            else:
                assert getattr(found, name) is None
    with h5py.File(tmp_path / "out.h5") as file:
        maps = file["tracks/track_0/data"]
        units = {"strain_percentage_std": "%"}
        if given == FURTHER:
            units |= {"lateral_displacement": "m", "lateral_strain_percentage_map": "%"}
        for name, unit in units.items() if given else ():
            assert maps[f"{name}/unit"].asstr()[()] == unit
            assert len(maps[f"{name}/timestamps"]) == 4


def test_a_strain_file_is_not_taken_for_a_recording(tmp_path):
    with StrainWriter(tmp_path / "out.h5", FORMAT) as writer:
        writer.write(strain_frames(FORMAT.grid)[0])
    with pytest.raises(RtelastoError, match=r"holds .*strain_percentage_map but no RF lines"):
        open_recording(tmp_path / "out.h5")


def test_files_open_in_zea_and_pass_its_checks(tmp_path):
    zea = pytest.importorskip("zea", reason="zea is not installed")
    with RecordingWriter(tmp_path / "rf.h5", FORMAT) as writer:
        for frame in rf_frames(np.int16):
            writer.write(frame)
    with StrainWriter(tmp_path / "out.h5", FORMAT) as writer:
        for strain in strain_frames(FORMAT.grid):
            writer.write(strain)
    with zea.File(tmp_path / "rf.h5") as file:
        spec = file.validate_spec()
        assert spec.data.beamformed_data.values.shape == (4, 300, 24, 1)
        assert spec.scan.sampling_frequency == np.float32(FORMAT.sampling_freq_hz)
    with zea.File(tmp_path / "out.h5") as file:
        spec = file.validate_spec()
        assert spec.data.strain_percentage_map.unit == "%"
        assert spec.data.strain_percentage_map.values.shape == (3, 300, 24)


def test_the_name_appears_only_at_the_end_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"the old one")
    writer = RecordingWriter(path, FORMAT)
    writer.write(rf_frames(np.int16)[0])
    assert path.read_bytes() == b"the old one"
    writer.close()
    writer.close()
    assert leftovers(tmp_path) == ["a.h5"]
    with open_recording(path) as recording:
        assert recording.n_frames == 1
    with pytest.raises(ValueError, match="closed"):
        writer.write(rf_frames(np.int16)[0])


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"the old one")
    writer = StrainWriter(path, FORMAT)
    writer.write(strain_frames(FORMAT.grid)[0])
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert path.read_bytes() == b"the old one"
    assert leftovers(tmp_path) == ["a.h5"]


def test_no_frames_are_no_file(tmp_path):
    with pytest.raises(RtelastoError, match="no frames"), StrainWriter(tmp_path / "a.h5", FORMAT):
        pass
    assert leftovers(tmp_path) == []


def write_all(writer, *calls) -> None:
    with writer:
        for arguments in calls:
            writer.write(*arguments)


def test_frames_that_do_not_belong_together(tmp_path):
    path = tmp_path / "a.h5"
    first, second = rf_frames(np.int16, 2)
    other = RfFrame(
        second.samples,
        RfFormat(
            n_lines=24, n_samples=300, sampling_freq_hz=40e6, center_freq_hz=5e6, line_pitch_m=2e-4
        ),
    )
    floating = RfFrame(second.samples.astype(np.float32), FORMAT)
    still = DisplacementField.zero(width_m=6e-3, depth_m=8e-3)
    moved = DisplacementField(still.axial_m, still.lateral_m, -1.0, 0.0, 1.0, 1.0)
    for says, calls in (
        ("format", [(first,), (other,)]),
        ("float32", [(first,), (floating,)]),
        ("truth", [(first, still), (second,)]),
        ("nodes", [(first, still), (second, moved)]),
    ):
        with pytest.raises(RtelastoError, match=says):
            write_all(RecordingWriter(path, FORMAT), *calls)
    fine, coarse = strain_frames(FORMAT.grid, 1) + strain_frames(Grid(24, 40, 1e-4, 2e-4), 1)
    with pytest.raises(RtelastoError, match="grid"):
        write_all(StrainWriter(path, FORMAT), (fine,), (coarse,))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("make", [RecordingWriter, StrainWriter])
def test_places_that_cannot_be_written_are_told_at_once(tmp_path, make):
    for path, says in (
        (tmp_path, "folder, name a file"),
        (tmp_path / "gone" / "a.h5", "there is no folder"),
        (tmp_path / ("long" * 100), "cannot write"),
    ):
        with pytest.raises(RtelastoError, match=says) as caught:
            make(path, FORMAT)
        assert str(path) in str(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices are files on Linux")
@pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
def test_devices_are_not_replaced(device):
    with pytest.raises(RtelastoError, match="device"):
        StrainWriter(device, FORMAT)


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited by resource limits")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    program = f"""
import resource, signal, sys
import numpy as np
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.errors import RtelastoError
from rtelasto.sinks.hdf5 import RecordingWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit then fails with EFBIG
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
rng = np.random.default_rng(0)
rf_format = RfFormat(
    n_lines=64, n_samples=1000, sampling_freq_hz=40e6, center_freq_hz=5e6, line_pitch_m=2e-4
)
try:
    with RecordingWriter({str(tmp_path / "a.h5")!r}, rf_format) as writer:
        for i in range(50):
            writer.write(RfFrame(rng.standard_normal((64, 1000)), rf_format, FrameStamp(i)))
except RtelastoError as error:
    print(error)
    sys.exit(2)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert done.stdout.startswith(f"cannot write {tmp_path / 'a.h5'}: ")
    assert leftovers(tmp_path) == []
