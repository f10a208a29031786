"""The device memory of a run: everything that the kernels read or write, allocated once.

Frames are stored in a ring that all pairs share. Every pair in flight has its own buffer set, so that two
pairs can be processed at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.averaging.measurement import n_nodes
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.records import (
    BLOCK_MOTION,
    CANDIDATE,
    HEADER,
    STATISTICS,
    SUMMARY,
    WORK,
)
from rtelasto.gpu.source import N_CANDIDATES

# Frames are uploaded after their header, at an address aligned for every access size.
HEADER_BYTES = 256
_ALIGNED = 256
OUTPUTS = ("strain", "displacement_m", "correlation", "post_warp_correlation")
# What some networks give besides, by its name in the ONNX contract: what is written by the network, and the
# output that becomes of it. The kernels find no address where a network does not give it.
MORE_OUTPUTS = {
    "lateral_displacement": ("residual_lateral", "lateral_displacement_m"),
    "lateral_strain": ("residual_lateral_strain", "lateral_strain"),
    "strain_std": ("residual_strain_std", "axial_strain_std"),
}


def address(array: Any) -> int:
    """Return the address of an array's first element, on the device (CuPy) or in this process (NumPy)."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


class Ring:
    """Frames on the device: echoes, baseband, and their scale and energies."""

    def __init__(self, xp: ModuleType, layout: Layout, slots: int) -> None:
        sizes = layout.integers
        shape = (slots, 2, sizes["n_lines"], sizes["n_points"])
        self.slots = slots
        self.arrays = {
            "ring_echoes": xp.zeros((slots, sizes["n_lines"], sizes["n_samples"]), np.float32),
            "ring_baseband": xp.zeros(shape, np.float32),
            "ring_statistics": xp.zeros(slots * STATISTICS.itemsize, np.uint8),
        }


class Workspace:
    """A buffer set: upload, scratch, results, and the ``Work`` record that points to them.

    Parameters
    ----------
    xp
        CuPy, or NumPy where the kernels run on the host.
    layout
        Sizes and tables.
    ring
        Storage of the frames.

    Attributes
    ----------
    arrays : dict
        The arrays by name of the record's field.
    upload
        uint8: ``HEADER_BYTES`` of header, followed by the samples.
    output
        uint8: `OUTPUTS` and those of `MORE_OUTPUTS` that the network gives, float32 of ``layout.rows``, the
        means at nodes (`rtelasto.cpu.averaging.measurement.node_means`), then the summary.
    work
        The record itself, on the device.
    """

    def __init__(self, xp: ModuleType, layout: Layout, ring: Ring) -> None:
        self.layout = layout
        sizes = layout.integers
        n_lines, n_blocks = sizes["n_lines"], sizes["n_blocks"]
        image = (n_lines, sizes["n_depths"])
        rows = layout.rows.shape
        n_texture = max(sizes["n_texture"], 1)
        wide = (sizes["wide_lateral"], sizes["wide_axial"])
        lags = (2 * sizes["lateral_lags"] + 1, 2 * sizes["axial_lags"] + 1)
        fit = (N_CANDIDATES, 2, max(n_blocks, wide[0] * wide[1]))
        self.upload = xp.zeros(HEADER_BYTES + layout.frame_bytes, np.uint8)
        self.output = xp.zeros(packed_bytes(output_parts(layout)), np.uint8)
        self.arrays: dict[str, Any] = {
            **ring.arrays,
            **{name: xp.asarray(table) for name, table in layout.tables.items()},
            "header": self.upload[: HEADER.itemsize],
            "upload_samples": self.upload[HEADER_BYTES:],
            "power": xp.zeros(sizes["n_power"], np.float64),
            "energy": xp.zeros(n_blocks, np.float32),
            "candidates": xp.zeros(N_CANDIDATES * CANDIDATE.itemsize, np.uint8),
            "blocks": xp.zeros(N_CANDIDATES * n_blocks * BLOCK_MOTION.itemsize, np.uint8),
            "fit_value": xp.zeros(fit, np.float32),
            "fit_weight": xp.zeros(fit, np.float32),
            "fit_robust": xp.zeros(fit, np.float32),
            "fit_residual": xp.zeros(fit, np.float32),
            "widely": xp.zeros(1, np.int64),
            "envelope": xp.zeros((2, n_lines, n_texture), np.float32),
            "texture": xp.zeros((2, n_lines, n_texture), np.float32),
            "volumes": xp.zeros((*wide, *lags), np.float32),
            "votes": xp.zeros((wide[0], lags[0], 2 * sizes["tops"] + 1, lags[1]), np.float32),
            "tilt_votes": xp.zeros(sizes["n_tilts"], np.float32),
            "tilt_where": xp.zeros(sizes["n_tilts"], np.int64),
            "stretched_power": xp.zeros(sizes["n_stretched_power"], np.float64),
            "pre": xp.zeros(image, np.float32),
            "post": xp.zeros(image, np.float32),
            "residual_samples": xp.zeros(rows, np.float32),
            "residual_strain": xp.zeros(rows, np.float32),
            "agreement": xp.zeros((*rows, 3), np.float32),
            **{MORE_OUTPUTS[name][0]: xp.zeros(rows, np.float32) for name in layout.more_outputs},
            **unpacked(self.output, output_parts(layout)),
        }
        if "strain_std" in layout.more_outputs:
            self.arrays["certainty"] = xp.zeros(rows, np.float32)
        self.work = work_record(xp, {**sizes, **layout.doubles}, self.arrays)


def work_record(
    xp: ModuleType, numbers: Mapping[str, float], arrays: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Return a ``Work`` record on the device, with the fields that are named."""
    record = np.zeros(1, WORK)
    for name, value in numbers.items():
        record[name] = value
    for name, array in arrays.items():
        record[name] = address(array)
    on_device: NDArray[np.uint8] = xp.asarray(record.view(np.uint8))
    return on_device


# What a buffer of bytes contains, in this order: dtypes and shapes by name.
Parts = Mapping[str, tuple[np.dtype, tuple[int, ...]]]


def packed_bytes(parts: Parts) -> int:
    """Return the size of a buffer for these parts."""
    return sum(map(_padded_bytes, parts.values()))


def unpacked(buffer: Any, parts: Parts) -> dict[str, Any]:
    """Return views of the parts of a buffer, on the device or on the host."""
    views, at = {}, 0
    for name, (dtype, shape) in parts.items():
        size = dtype.itemsize * math.prod(shape)
        views[name] = buffer[at : at + size].view(dtype).reshape(shape)
        at += _padded_bytes(parts[name])
    return views


def _padded_bytes(part: tuple[np.dtype, tuple[int, ...]]) -> int:
    dtype, shape = part
    return -(-dtype.itemsize * math.prod(shape) // _ALIGNED) * _ALIGNED


def output_parts(layout: Layout) -> Parts:
    """Return what an output buffer contains; the summary as bytes."""
    image = np.dtype(np.float32)
    names = [*OUTPUTS, *(MORE_OUTPUTS[name][1] for name in layout.more_outputs)]
    return {
        **dict.fromkeys(names, (image, layout.rows.shape)),
        "node_means": (image, (3, *n_nodes(layout.rows))),
        "summary": (np.dtype(np.uint8), (SUMMARY.itemsize,)),
    }


def read_output(output: np.ndarray, layout: Layout) -> tuple[dict[str, np.ndarray], np.void]:
    """Return copies of the images by name, and the summary, from the host's copy of an output buffer."""
    views = unpacked(output, output_parts(layout))
    summary = views.pop("summary").view(SUMMARY)[0].copy()
    return {name: image.copy() for name, image in views.items()}, summary
