"""Axis order: parsed, guessed by the documented rule, and undone on reading."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtelasto.errors import RtelastoError
from rtelasto.sources.axes import FrameStack, parse_axes
from rtelasto.sources.axis_evidence import guess_axes


@given(
    order=st.permutations(("frame", "line", "sample", "1")),
    n_frames=st.integers(1, 4),
    n_lines=st.integers(1, 5),
    n_samples=st.integers(1, 9),
    dtype=st.sampled_from(["<i2", ">i2", "<f4", ">f8", "u1"]),
    flipped=st.sets(st.sampled_from(["line", "sample"])),
)
def test_reading_undoes_any_storage_order(order, n_frames, n_lines, n_samples, dtype, flipped):
    frames = np.arange(n_frames * n_lines * n_samples).reshape(n_frames, n_lines, n_samples)
    stored = frames
    for name in flipped:
        stored = np.flip(stored, ("frame", "line", "sample").index(name))
    stored = stored[None].transpose(
        [("1", "frame", "line", "sample").index(name) for name in order]
    )
    stack = FrameStack(stored.astype(dtype), tuple(order), flipped=flipped)
    assert (stack.n_frames, stack.n_lines, stack.n_samples) == frames.shape
    for i in range(n_frames):
        read = stack.read(i)
        assert read.flags.c_contiguous
        assert read.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(read, frames[i].astype(dtype))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((128, 2608), ("line", "sample")),
        ((2608, 128), ("sample", "line")),
        ((6, 128, 2000), ("frame", "line", "sample")),
        ((6, 2000, 128), ("frame", "sample", "line")),
        ((6, 2000, 128, 1), ("frame", "sample", "line", "1")),
        ((1, 128, 2000), ("frame", "line", "sample")),
        # Channel data, a square image, more frames than lines or samples, frames of one line, frames last:
        # the shape does not tell.
        ((1000, 2608, 128), None),
        ((3, 1, 500), None),
        ((128, 2608, 8), None),
        ((334, 128, 32), None),
        ((256, 256), None),
        ((5000, 2608, 128), None),
        ((2608, 128, 20), None),
        ((2, 3, 128, 2000), None),
        ((2000,), None),
    ],
)
def test_axes_of_an_array_without_echoes_are_guessed_only_where_its_shape_settles_them(shape, axes):
    assert guess_axes(np.broadcast_to(np.int16(0), shape)) == axes


def test_a_wrong_order_is_not_guessed_for_frames_stored_last():
    for n_frames, n_lines, n_samples in itertools.product((2, 50, 900), (64, 192), (1500, 2608)):
        shape = (n_samples, n_lines, n_frames)
        assert guess_axes(np.broadcast_to(np.int16(0), shape)) is None


def test_axes_of_matlab_are_named_in_its_own_order():
    assert parse_axes("sample, line, frame", (6, 128, 2000), reverse=True) == (
        "frame",
        "line",
        "sample",
    )


@pytest.mark.parametrize(
    ("text", "shape", "says"),
    [
        ("frame,lines,sample", (6, 128, 2000), "'frame,lines,sample'"),
        ("line,line,sample", (6, 128, 2000), "once each"),
        ("line,frame", (6, 128), "once each"),
        ("line,sample", (6, 128, 2000), r"\(6, 128, 2000\)"),
        ("1,line,sample", (6, 128, 2000), "not of length 1"),
    ],
)
def test_axes_that_do_not_fit_are_refused(text, shape, says):
    with pytest.raises(RtelastoError, match=says):
        parse_axes(text, shape)


@pytest.mark.parametrize(("dtype", "says"), [("c8", "IQ"), ("?", "bool"), ("S4", "S4")])
def test_only_real_numbers_are_rf_lines(dtype, says):
    with pytest.raises(RtelastoError, match=says):
        FrameStack(np.zeros((2, 3, 20), dtype), ("frame", "line", "sample"))
