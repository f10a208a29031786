"""The records that the kernels share with Python.

Every kernel gets one pointer to a ``Work`` record. Its fields are listed here once: the C struct and the
NumPy dtype are both generated from the list, and every field has eight bytes, so that their layouts cannot
differ.
"""

from __future__ import annotations

import numpy as np

_POINTERS = {
    "header": "Header",
    "upload_samples": "void",
    "ring_echoes": "float",
    "ring_baseband": "float",
    "ring_statistics": "FrameStatistics",
    "demodulator": "float",
    "rotor": "float",
    "power": "double",
    "energy": "float",
    "block_lines": "long long",
    "block_points": "long long",
    "block_x": "double",
    "block_z": "double",
    "refine_ridge": "double",
    "candidates": "Candidate",
    "blocks": "BlockMotion",
    "fit_value": "float",
    "fit_weight": "float",
    "fit_robust": "float",
    "fit_residual": "float",
    "widely": "long long",
    "envelope": "float",
    "texture": "float",
    "wide_lines": "long long",
    "wide_points": "long long",
    "wide_x": "double",
    "wide_z": "double",
    "wide_ridge": "double",
    "tilts": "double",
    "volumes": "float",
    "votes": "float",
    "tilt_votes": "float",
    "tilt_where": "long long",
    "summary": "Summary",
    "lateral_table": "float",
    "axial_table": "float",
    "stretched_power": "double",
    "pre": "float",
    "post": "float",
    "residual_samples": "float",
    "residual_strain": "float",
    "residual_lateral": "float",
    "residual_lateral_strain": "float",
    "residual_strain_std": "float",
    "strain": "float",
    "displacement_m": "float",
    "agreement": "float",
    "correlation": "float",
    "post_warp_correlation": "float",
    "lateral_displacement_m": "float",
    "lateral_strain": "float",
    "axial_strain_std": "float",
    "certainty": "float",
    "node_means": "float",
    "average": "Average",
    "node_lines": "long long",
    "node_line_shares": "float",
    "node_rows": "long long",
    "node_row_shares": "float",
    "tissue_rows": "float",
    "compression": "float",
    "compared": "float",
    "apart": "float",
    "relative_strain": "float",
    "relative_strain_std": "float",
}
_INTEGERS = (
    "n_lines",
    "n_samples",
    "sample_is_float",
    "mean_samples",
    "decimation",
    "n_points",
    "n_taps",
    "n_power",
    "n_lateral",
    "n_axial",
    "n_blocks",
    "n_texture",
    "wide_lateral",
    "wide_axial",
    "axial_lags",
    "tops",
    "max_slope",
    "lateral_lags",
    "n_tilts",
    "n_hypotheses",
    "own_grid",
    "polynomial",
    "axial_taps",
    "n_depths",
    "out_chunk",
    "n_stretched_power",
    "n_rows",
    "axial_stride",
    "half_window",
    "half_rows",
    "slope_half_rows",
    "row_chunk",
    "n_node_lines",
    "n_node_rows",
)
_DOUBLES = (
    "cycles_per_sample",
    "first_sample",
    "half_width",
    "middle",
    "half_depth",
    "axial_step_m",
    "line_pitch_m",
    "start_depth_m",
    "ratio",
    "depth_step_m",
    "row_step_m",
    "power_floor",
    "normal_gap_m",
)

WORK = np.dtype(
    [(name, np.uint64) for name in _POINTERS]
    + [(name, np.int64) for name in _INTEGERS]
    + [(name, np.float64) for name in _DOUBLES]
)
HEADER = np.dtype([("pre_slot", np.int64), ("post_slot", np.int64)])
STATISTICS = np.dtype([("scale", np.float32), ("floor", np.float32)])
BLOCK_MOTION = np.dtype(
    [("correlation", np.float64), ("change", np.float32, 2), ("weight", np.float32, 2)]
)
CANDIDATE = np.dtype(
    [
        ("motion", np.float64, 7),
        ("phase", np.int64),
        ("arrived", np.int64),
        ("round", np.int64),
        ("settled", np.int64),
        ("has_echo", np.int64),
        ("score", np.float64),
        ("explained", np.float64),
    ]
)
SUMMARY = np.dtype(
    [
        ("elongation", np.float64, 7),
        ("fit_correlation", np.float64),
        ("searched_widely", np.float64),
        ("quality", np.float64),
        ("applied_strain", np.float64),
    ]
)
# What a launch on the average over time is about. Its images are those of a pair, wherever they are.
AVERAGE = np.dtype(
    [
        ("strain", np.uint64),
        ("certainty", np.uint64),
        ("sums", np.uint64),
        ("spare", np.uint64),
        ("scale", np.float64),
        ("lines", np.float64),
        ("forget", np.float64),
        ("variance", np.float64),
    ]
)
_RECORDS = {
    "Header": HEADER,
    "FrameStatistics": STATISTICS,
    "BlockMotion": BLOCK_MOTION,
    "Candidate": CANDIDATE,
    "Summary": SUMMARY,
    "Average": AVERAGE,
}
# Addresses are those of float32 images.
_C_TYPES = {"float32": "float", "float64": "double", "int64": "long long", "uint64": "float*"}


def _record(name: str, dtype: np.dtype) -> str:
    lines = []
    for key in dtype.names or ():
        base, shape = dtype[key].subdtype or (dtype[key], ())
        size = "".join(f"[{n}]" for n in shape)
        lines.append(f"    {_C_TYPES[base.name]} {key}{size};")
    return "\n".join([f"struct {name} {{", *lines, "};"])


def structs() -> str:
    """Return the C definitions of all records."""
    records = [_record(name, dtype) for name, dtype in _RECORDS.items()]
    fields = [f"    {kind}* {name};" for name, kind in _POINTERS.items()]
    fields += [f"    long long {name};" for name in _INTEGERS]
    fields += [f"    double {name};" for name in _DOUBLES]
    return "\n".join([*records, "struct Work {", *fields, "};"])
