"""MATLAB files of versions 4 and 5 from MATLAB, SciPy and libmatio: each opens or is refused for a reason."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.io.matlab

from rtelasto.errors import RtelastoError
from rtelasto.sources import first_look, open_recording
from rtelasto.sources.file_kinds import is_mat4

PHYSICS = {"sampling_freq_hz": 40e6, "center_freq_hz": 6.25e6, "line_pitch_m": 2e-4}
RF = np.random.default_rng(1).integers(-900, 900, (3, 16, 300)).astype(np.int16)
SCIPY_FILES = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
HEADER = (
    b"MATLAB 5.0 MAT-file, Platform: Linux, Created By: libmatio v1.5".ljust(124) + b"\x00\x01IM"
)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(
    name: str, shape: tuple[int, ...], data: bytes, *, kind: int, stored: int, flags: int = 0
):
    """A numeric variable, its name in a long tag; a shape of one number is what libmatio writes."""
    return element(
        14,
        element(6, struct.pack("<II", kind | flags, 0))
        + element(5, struct.pack(f"<{len(shape)}i", *shape))
        + element(1, name.encode())
        + element(stored, data),
    )


def rf_element(array: np.ndarray = RF) -> bytes:
    return matrix("rf", array.T.shape, array.tobytes(), kind=10, stored=3)


def opaque(name: bytes, class_name: bytes) -> bytes:
    """A string, datetime, table: flags, name, the type system, the class, and numbers of no use to others."""
    numbers = matrix("", (6, 1), struct.pack("<6I", 0xDD000000, 2, 1, 1, 1, 1), kind=13, stored=6)
    return element(
        14,
        element(6, struct.pack("<II", 17, 0))
        + struct.pack("<HH4s", 1, len(name), name)
        + struct.pack("<HH4s", 1, 4, b"MCOS")
        + element(1, class_name)
        + numbers,
    )


def refused(path: Path, match: str, **options) -> str:
    with pytest.raises(RtelastoError, match=match) as caught:
        open_recording(path, **(PHYSICS | options))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message


def reads(path: Path, frames: np.ndarray = RF, **options) -> tuple[str, ...]:
    with open_recording(path, **(PHYSICS | options)) as recording:
        assert recording.n_frames == len(frames)
        for i, frame in enumerate(frames):
            np.testing.assert_array_equal(recording.read(i), frame)
        return recording.notes


# What stands in SciPy's own files, and so why none of them is a recording.
WHY = {
    "test3dmatrix": r"does not say axes|at least",  # (2, 3, 4): numbers in three axes
    "testhdf5": "no array of RF lines",
    "bad_": "is damaged: ",
    "malformed1": "is damaged: ",
    "corrupted_zlib_checksum": r"no array of RF lines .*1 that cannot be read \(Error -3",
    "corrupted_zlib_data": r"no array of RF lines .*is a cell array: save",
    "debigged_m4": r"is damaged: variable 'a' has 402653184 values in \d+ bytes",
    "big_endian": "does not say axes",
    "little_endian": "does not say axes",
    "test_skip_variable": "does not say axes",
    "testmatrix": "does not say axes",
    "testmulti": "does not say axes",
    "teststruct": "is a struct: save the array in it",
    "testcell": "is a cell array: save its frames as one array",
}


@pytest.mark.skipif(not SCIPY_FILES.is_dir(), reason="this SciPy came without its test files")
def test_every_file_of_scipys_own_tests_is_opened_or_refused_for_the_right_reason(record_property):
    files = sorted(SCIPY_FILES.glob("*.mat"))
    opened = []
    for path in files:
        try:
            with open_recording(path, **PHYSICS) as recording:
                recording.read(0)
            opened.append(path.name)
            continue
        except RtelastoError as error:
            message = str(error).removeprefix(f"{path}: ")
        assert message.isprintable(), path
        assert "hostile" not in message, message
        expected = next((why for name, why in WHY.items() if path.name.startswith(name)), None)
        if expected is not None:
            assert re.search(expected, message), f"{path.name}: {message}"
        else:
            assert "no array of RF lines" in message, f"{path.name}: {message}"
    record_property("scipy_files", len(files))
    print(f"{len(files)} files of SciPy's: {len(opened)} opened, the others refused")
    assert len(files) >= 100
    assert opened == []


def test_numbers_in_scipys_own_files_come_out_as_scipy_reads_them():
    """What is loaded by way of the other process is what SciPy loads here."""
    if not SCIPY_FILES.is_dir():
        pytest.skip("this SciPy came without its test files")
    n = 0
    for path in sorted(SCIPY_FILES.glob("test*.mat")):
        if "hdf5" in path.name:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = scipy.io.loadmat(path)
        for variable in first_look.list_matlab(path):
            if "dtype" in variable and not variable["name"].startswith("__"):
                array, close = first_look.load_matlab(path, variable)
                np.testing.assert_array_equal(array.T, whole[variable["name"]])
                close()
                n += 1
    assert n >= 25


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_libmatio_with_scalars_of_rank_one_opens(tmp_path, packed):
    elements = [
        matrix("sampling_freq_hz", (1,), struct.pack("<d", 40e6), kind=6, stored=9),
        matrix("line_pitch_m", (1,), struct.pack("<d", 2e-4), kind=6, stored=9),
        matrix("frames", (1,), struct.pack("<d", 3), kind=6, stored=9),
        rf_element(),
    ]
    if packed:
        elements = [struct.pack("<II", 15, len(p := zlib.compress(e))) + p for e in elements]
    path = tmp_path / "phantom.mat"
    path.write_bytes(HEADER + b"".join(elements))
    with open_recording(path, center_freq_hz=6.25e6) as recording:
        assert recording.format.sampling_freq_hz == 40e6
        np.testing.assert_array_equal(recording.read(2), RF[2])


@pytest.mark.parametrize("name", [b"t", b"when", b"info"])
@pytest.mark.parametrize("class_name", [b"string", b"datetime", b"table"])
def test_a_string_datetime_or_table_beside_the_lines_does_no_harm(tmp_path, name, class_name):
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER + opaque(name.ljust(4), class_name) + rf_element())
    reads(path)
    reads(path, dataset="rf")


def test_one_odd_variable_leaves_the_others_readable(tmp_path):
    odd = element(14, element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<2i", -1, 3)))
    path = tmp_path / "a.mat"
    for before, after in ((odd, b""), (b"", odd), (element(99, bytes(16)), b"")):
        path.write_bytes(HEADER + before + rf_element() + after)
        reads(path, dataset="rf")
        notes = reads(path)
        assert any("1 variable cannot be read" in note for note in notes)
    path.write_bytes(HEADER + odd)
    refused(path, "is damaged: ")


def test_a_variable_cut_off_at_the_end_leaves_whole_ones_readable(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER + rf_element() + rf_element()[:900])
    assert any("truncated" in note for note in reads(path))


def test_version_4_is_read(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"rf": RF[0].T, "line_pitch_m": 2e-4}, format="4")
    assert is_mat4(path.read_bytes()[:4096])
    with open_recording(path, sampling_freq_hz=40e6, center_freq_hz=6.25e6) as recording:
        assert recording.format.line_pitch_m == 2e-4
        np.testing.assert_array_equal(recording.read(0), RF[0])
    scipy.io.savemat(path, {"rf": RF[0].T, "other": RF[1].T}, format="4")
    refused(path, "several arrays")


def test_doubles_that_are_whole_numbers_come_as_doubles(tmp_path):
    """MATLAB stores them as int16."""
    data = RF.astype("<i2").tobytes()
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER + matrix("rf", RF.T.shape, data, kind=6, stored=3))
    with open_recording(path, **PHYSICS) as recording:
        assert recording.dtype == np.float64
        np.testing.assert_array_equal(recording.read(1), RF[1])


def test_big_endian_and_complex_variables(tmp_path):
    path = tmp_path / "a.mat"
    swapped = (
        HEADER[:124]
        + b"\x01\x00MI"
        + struct.pack(">II", 14, 56 + RF.nbytes)
        + struct.pack(">II", 6, 8)
        + struct.pack(">II", 10, 0)
        + struct.pack(">II3ii", 5, 12, *RF.T.shape, 0)
        + struct.pack(">HH", 2, 1)
        + b"rf\x00\x00"
        + struct.pack(">II", 3, RF.nbytes)
        + RF.astype(">i2").tobytes()
    )
    path.write_bytes(swapped)
    reads(path)
    scipy.io.savemat(path, {"iq": RF.T * 1j})
    refused(path, r"complex \(IQ\)")


def test_structs_and_cells_say_how_to_save_the_array(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"acq": {"rf": RF.T, "fs": 40e6}, "note": "x"})
    refused(path, r"'acq' is a struct: .*rf = acq\.FIELD; save\('rf\.mat', 'rf', '-v7\.3'\)")
    refused(path, r"'acq' is a struct: .*rf = acq\.FIELD", dataset="acq")
    frames = np.empty(3, object)
    frames[:] = [frame.T for frame in RF]
    scipy.io.savemat(path, {"frames": frames})
    refused(path, r"'frames' is a cell array: .*cat\(3, frames\{:\}\)")
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_group("acq")["rf"] = RF
        file["acq"].attrs["MATLAB_class"] = np.bytes_("struct")
    refused(path, r"'acq' is a struct: .*rf = acq\.FIELD", dataset="acq")


def test_a_verasonics_workspace_saved_without_v73_says_how_to_save_it(tmp_path):
    path = tmp_path / "press.mat"
    scipy.io.savemat(
        path,
        {
            "Trans": {"frequency": 6.25},
            "Receive": np.array([(1,), (2,)], [("startSample", object)]),
            "Resource": {"Parameters": {"speedOfSound": 1540.0}},
            "P": {"x": 1.0},
        },
    )
    refused(path, r"Verasonics workspace .*save\('press\.mat', '-v7\.3'\)")


def test_a_small_file_that_unpacks_to_very_much_is_refused(tmp_path):
    path = tmp_path / "bomb.mat"
    packer = zlib.compressobj(9)
    head = matrix("rf", (4000, 4000, 60), b"", kind=10, stored=3)
    n_bytes = 4000 * 4000 * 60 * 2
    head = struct.pack("<II", 14, len(head) - 8 + n_bytes) + head[8:-8]
    head += struct.pack("<II", 3, n_bytes)
    packed = packer.compress(head) + packer.compress(bytes(1 << 20)) + packer.flush()
    path.write_bytes(HEADER + struct.pack("<II", 15, len(packed)) + packed)
    refused(path, r"promises \d+ bytes but holds only")
    path.write_bytes(HEADER + matrix("rf", (40000, 40000, 60), b"", kind=10, stored=3))
    refused(path, "is damaged|more than a file of this version can hold")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on memory to set")
def test_a_tag_that_claims_four_gigabytes_takes_no_more_than_the_first_look_may(tmp_path):
    packer = zlib.compressobj(9)
    head = matrix("rf", RF.T.shape, b"", kind=10, stored=3)[:-8]
    head = struct.pack("<II", 14, 2**32 - 8) + head[8:] + struct.pack("<II", 3, 2**32 - 256)
    packed = packer.compress(head) + packer.compress(bytes(1 << 24)) + packer.flush()
    path = tmp_path / "bomb.mat"
    path.write_bytes(HEADER + struct.pack("<II", 15, len(packed)) + packed)
    refused(path, "takes more than|did not finish|is damaged")
    path.write_bytes(HEADER + rf_element())
    reads(path)  # the process that looked, or the next one, serves on


@pytest.mark.slow
def test_the_reading_process_holds_no_variable_in_memory(tmp_path):
    """A file of 41 MB is read frame by frame, from a mapped temporary file."""
    code = """
import sys, numpy as np, scipy.io
from rtelasto.sources import open_recording
def anonymous():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon"))
path = sys.argv[1]
before = anonymous()
if sys.argv[2] == "write":
    scipy.io.savemat(path, {"rf": np.zeros((1000, 128, 160), np.int16) + 1})
else:
    with open_recording(path, sampling_freq_hz=4e7, center_freq_hz=6e6, line_pitch_m=2e-4,
                        axes="sample,line,frame") as recording:
        recording.read(0)
        recording.read(159)
        print(anonymous() - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say how much memory a process takes")
    path = tmp_path / "big.mat"
    for what in ("write", "read"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), what],
            capture_output=True,
            text=True,
            check=True,
        )
    assert int(done.stdout) < 20_000  # kB; the variable has 41,000
