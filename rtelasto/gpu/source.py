"""The source of the kernels: CUDA files, the records shared with Python, and constants of the CPU back-end.

Every kernel gets one pointer to a ``Work`` record. Its fields are listed here once: the C struct and the
NumPy dtype are both generated from the list, and every field has eight bytes, so that their layouts cannot
differ. The constants of the algorithms become preprocessor definitions, so that the two back-ends cannot
differ in them either.
"""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np

from rtelasto.cpu import consistency, interpolation, resample
from rtelasto.cpu.stretching import (
    block_motion,
    elongation,
    global_motion,
    refine,
    texture,
    wide_search,
)

THREADS = 512  # the largest block of any kernel launch
CHUNK = 256  # points or outputs of one line per block
SCALE_CHUNK = 2048  # pixels of an image per block
SPAN = 3072  # samples of one line that a block holds: 3 × 12 KB are within every GPU's 48 KB
N_CANDIDATES = 1 + wide_search.N_HYPOTHESES

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
    "strain": "float",
    "displacement_m": "float",
    "agreement": "float",
    "correlation": "float",
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
    "row_chunk",
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
        ("motion", np.float64, 6),
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
        ("elongation", np.float64, 6),
        ("fit_correlation", np.float64),
        ("searched_widely", np.float64),
        ("quality", np.float64),
        ("applied_strain", np.float64),
    ]
)
_RECORDS = {
    "Header": HEADER,
    "FrameStatistics": STATISTICS,
    "BlockMotion": BLOCK_MOTION,
    "Candidate": CANDIDATE,
    "Summary": SUMMARY,
}
_C_TYPES = {"float32": "float", "float64": "double", "int64": "long long"}
_SOURCES = (
    "block.cuh",
    "median.cuh",
    "samples.cuh",
    "echoes.cuh",
    "baseband.cuh",
    "motion.cuh",
    "correlate.cuh",
    "fit.cuh",
    "refine.cuh",
    "wide_search.cuh",
    "resample.cuh",
    "quality.cuh",
    "kernels.cu",
)


def _constants() -> dict[str, float]:
    return {
        "THREADS": THREADS,
        "CHUNK": CHUNK,
        "SCALE_CHUNK": SCALE_CHUNK,
        "SPAN": SPAN,
        "SUM_PARTS": 256,
        "TILT_PARTS": 256,
        "N_CANDIDATES": N_CANDIDATES,
        # A block is at most 1.5 times the requested size, plus one for rounded edges.
        "MAX_BLOCK_LINES": refine.BLOCK_LINES * 3 // 2 + 1,
        "MAX_BLOCK_POINTS": refine.BLOCK_POINTS * 3 // 2 + 1,
        "TIGHT": 0,
        "LEVEL": 1,
        "FINAL": 2,
        "DONE": 3,
        "TWO_PI": 2.0 * math.pi,
        "AXIAL_LAGS": block_motion.AXIAL_LAGS,
        "N_LAGS": block_motion.N_LAGS,
        "PAD": block_motion.PAD,
        "UNMOVED_LINES": refine.UNMOVED_LINES,
        "SILENT_FRACTION": refine.SILENT_FRACTION,
        "CONVERGED_SAMPLES": refine.CONVERGED_SAMPLES,
        "CONVERGED_LINES": refine.CONVERGED_LINES,
        "TIGHT_ROUNDS": refine.TIGHT_ROUNDS,
        "TIGHT_SAMPLES": refine.TIGHT_SAMPLES,
        "TIGHT_LINES": refine.TIGHT_LINES,
        "LEVELLING_ROUNDS": refine.LEVELLING_ROUNDS,
        "LEVEL_SAMPLES": refine.LEVEL_SAMPLES,
        "LEVEL_LINES": refine.LEVEL_LINES,
        "LEVELLING_SAMPLES": refine.LEVELLING_SAMPLES,
        "TRUSTED_INFORMATION": refine.TRUSTED_INFORMATION,
        "FIT_ROUNDS": global_motion.FIT_ROUNDS,
        "ACCEPTED_CORRELATION": elongation.ACCEPTED_CORRELATION,
        "ACCEPTED_FRACTION": elongation.ACCEPTED_FRACTION,
        "CHANCE_CORRELATION": elongation.CHANCE_CORRELATION,
        "LARGEST_STRAIN": elongation.LARGEST_STRAIN,
        "LARGEST_SHIFT_M": elongation.LARGEST_SHIFT_M,
        "LARGEST_SHIFT_LINES": elongation.LARGEST_SHIFT_LINES,
        "MIN_GAIN": elongation.MIN_GAIN,
        "PEAK_LAGS": wide_search.PEAK_LAGS,
        "NORMALISING_POINTS": texture.NORMALISING_POINTS,
        "NORMALISING_LINES": texture.NORMALISING_LINES,
        "LATERAL_TAPS": interpolation.LATERAL_TAPS,
        "LATERAL_PHASES": interpolation.LATERAL_PHASES,
        "N_PHASES": interpolation.N_PHASES,
        "POLYNOMIAL_TAPS": interpolation.POLYNOMIAL_TAPS,
        "SIDE_LINES": consistency.SIDE_LINES,
        "BAND_M": consistency.BAND_M,
        "NEGLIGIBLE_LINES": resample.NEGLIGIBLE_LINES,
    }


def _record(name: str, dtype: np.dtype) -> str:
    lines = []
    for key in dtype.names or ():
        base, shape = dtype[key].subdtype or (dtype[key], ())
        size = "".join(f"[{n}]" for n in shape)
        lines.append(f"    {_C_TYPES[base.name]} {key}{size};")
    return "\n".join([f"struct {name} {{", *lines, "};"])


def kernel_source() -> str:
    """Return all CUDA source as one text, for NVRTC or, as plain C++17, for a host compiler."""
    defines = [f"#define {name} {value!r}" for name, value in _constants().items()]
    records = [_record(name, dtype) for name, dtype in _RECORDS.items()]
    fields = [f"    {kind}* {name};" for name, kind in _POINTERS.items()]
    fields += [f"    long long {name};" for name in _INTEGERS]
    fields += [f"    double {name};" for name in _DOUBLES]
    work = "\n".join(["struct Work {", *fields, "};"])
    folder = files("rtelasto.gpu") / "cuda"
    sources = [(folder / name).read_text(encoding="utf-8") for name in _SOURCES]
    return "\n".join([*defines, *records, work, *sources])
