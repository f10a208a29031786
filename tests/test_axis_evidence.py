"""Axes of bare arrays: found in the echoes, in any order and format, or asked for; never taken wrongly."""

from __future__ import annotations

import functools
import itertools

import h5py
import numpy as np
import pytest
import scipy.io

from rtelasto.errors import RtelastoError
from rtelasto.sources import open_recording
from rtelasto.sources.axis_evidence import guess_axes

PHYSICS = {"sampling_freq_hz": 40e6, "center_freq_hz": 6.4e6, "line_pitch_m": 2e-4}
NAMES = ("frame", "line", "sample")
ORDERS = list(itertools.permutations(range(3)))


@functools.cache
def press(
    n_frames: int,
    n_lines: int,
    n_samples: int,
    *,
    cycles_per_sample: float = 0.16,
    beam_lines: float = 1.5,
    strain: float = 0.002,
    unrelated: bool = False,
) -> np.ndarray:
    """Speckle (frame, line, sample), int16, of tissue that is pressed; or of another place in each frame."""
    rng = np.random.default_rng(4)
    pad, beam = 64, np.exp(-0.5 * (np.arange(-30, 31) / beam_lines) ** 2)
    frequency = np.fft.fftfreq(n_samples + 2 * pad)
    pulse = np.exp(-0.5 * ((frequency - cycles_per_sample) / (0.22 * cycles_per_sample)) ** 2)
    z = np.arange(n_samples)
    frames = np.empty((n_frames, n_lines, n_samples))
    for i in range(n_frames):
        if i == 0 or unrelated:
            tissue = rng.standard_normal((n_lines + 60, n_samples + 2 * pad))
            tissue = np.apply_along_axis(np.convolve, 0, tissue, beam, "valid")
            echo = np.fft.ifft(np.fft.fft(tissue, axis=1) * pulse, axis=1)
            carrier = np.exp(-2j * np.pi * cycles_per_sample * np.arange(echo.shape[1]))
            smooth = echo * carrier
        at = pad + z * (1.0 - strain * i)
        wave = np.exp(2j * np.pi * cycles_per_sample * at)
        for line in range(n_lines):
            real, imag = (
                np.interp(at, np.arange(echo.shape[1]), part[line])
                for part in (smooth.real, smooth.imag)
            )
            frames[i, line] = ((real + 1j * imag) * wave).real
    return np.round(frames / np.abs(frames).max() * 8000).astype(np.int16)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return press(8, 64, 600)


@pytest.mark.parametrize("order", ORDERS)
def test_all_six_orders_are_found_in_the_echoes(frames, order):
    assert guess_axes(frames.transpose(order)) == tuple(NAMES[axis] for axis in order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "v5.mat", "v73.mat", "a.h5", "a.mha"])
def test_every_format_that_guesses_reads_every_order_right_or_asks(tmp_path, frames, order, name):
    stored = np.ascontiguousarray(frames.transpose(order))
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, stored)
    elif name == "a.npz":
        np.savez(path, rf=stored)
    elif name == "v5.mat":
        scipy.io.savemat(path, {"rf": stored})
    elif name == "a.mha":
        sizes = " ".join(map(str, reversed(stored.shape)))
        header = f"NDims = 3\nDimSize = {sizes}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
        path.write_bytes(header.encode() + stored.tobytes())
    else:
        with h5py.File(path, "w", userblock_size=512 if name == "v73.mat" else 0) as file:
            file["rf"] = stored.T if name == "v73.mat" else stored
            if name == "v73.mat":
                file["rf"].attrs["MATLAB_class"] = np.bytes_("int16")
    with open_recording(path, **PHYSICS) as recording:
        assert (recording.n_frames, recording.format.n_lines) == (8, 64)
        np.testing.assert_array_equal(recording.read(5), frames[5])
        shown = ",".join(NAMES[axis] for axis in order)
        assert any(f"axes taken as {shown} " in note for note in recording.notes)


def test_frames_stacked_last_do_not_become_lines(tmp_path, frames):
    np.save(tmp_path / "dstack.npy", np.dstack(list(frames)))  # (lines, samples, frames)
    scipy.io.savemat(
        tmp_path / "a.mat", {"rf": frames.transpose(0, 2, 1)}
    )  # [frames, samples, lines]
    for name in ("dstack.npy", "a.mat"):
        with open_recording(tmp_path / name, **PHYSICS) as recording:
            assert (recording.n_frames, recording.format.n_lines) == (8, 64)
    noise = np.random.default_rng(1).integers(-900, 900, (64, 600, 8)).astype(np.int16)
    np.save(tmp_path / "noise.npy", noise)
    with pytest.raises(RtelastoError, match=r"does not say axes: give --axes"):
        open_recording(tmp_path / "noise.npy", **PHYSICS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: press(120, 48, 400, strain=0.0004),  # more frames than lines
        lambda: press(6, 200, 180, beam_lines=2.0),  # wide and shallow
        lambda: press(6, 48, 900, cycles_per_sample=0.05),  # a high sampling rate
        lambda: press(
            6, 128, 500, beam_lines=8.0, strain=0.008
        ),  # lines closer than the beam is wide
        lambda: press(40, 32, 400, unrelated=True),  # nothing moves from frame to frame, all is new
        lambda: press(8, 64, 500) + 2048,  # unsigned samples
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_echoes_of_any_kind_are_read_right_or_asked_for(make, order):
    found = guess_axes(make().astype(np.int32).transpose(order))
    assert found in (None, tuple(NAMES[axis] for axis in order))


def test_a_wide_shallow_frame_has_its_samples_along_the_short_axis():
    frame = press(1, 220, 160)[0]
    assert guess_axes(frame) == ("line", "sample")
    assert guess_axes(frame.T) == ("sample", "line")
    assert guess_axes(frame[None]) == ("frame", "line", "sample")
    assert guess_axes(frame.T[..., None]) == ("sample", "line", "frame")


@pytest.mark.parametrize("name", ["rf0300_25", "rf0304_86"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_forearm_recording_is_read_right_or_asked_for(shared_data, name, order):
    raw = np.fromfile(shared_data(f"deepuse_forearm/{name}.raw"), "<f4")
    frames = raw.reshape(6, 2000, 128).transpose(0, 2, 1)
    found = guess_axes(frames.transpose(order))
    assert found in (None, tuple(NAMES[axis] for axis in order))
    if order[0] == 0:  # frames first, as most programs store them
        assert found is not None


def test_what_is_asked_for_names_the_option_and_an_answer(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(2).standard_normal((64, 128, 128)))
    with pytest.raises(RtelastoError, match=r"--axes.*\(64, 128, 128\), e\.g\. frame,line,sample"):
        open_recording(tmp_path / "a.npy", **PHYSICS)
