"""The source of the kernels: CUDA files, the records shared with Python, and constants of the CPU back-end.

The constants of the algorithms become preprocessor definitions, so that the two back-ends cannot differ in
them.
"""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np

from rtelasto.cpu import consistency, interpolation, resample
from rtelasto.cpu.averaging import measurement, running_average
from rtelasto.cpu.stretching import (
    block_motion,
    elongation,
    global_motion,
    refine,
    texture,
    wide_search,
)
from rtelasto.gpu.records import structs

THREADS = 512  # the largest block of any kernel launch
CHUNK = 256  # points or outputs of one line per block
SCALE_CHUNK = 2048  # pixels of an image per block
SPAN = 3072  # samples of one line that a block holds: 3 × 12 KB are within every GPU's 48 KB
N_CANDIDATES = 1 + wide_search.N_HYPOTHESES

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
    "consistency.cuh",
    "average.cuh",
    "kernels.cu",
)


def _constants() -> dict[str, float | np.float32]:
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
        "RELIABLE_CORRELATION": consistency.RELIABLE_CORRELATION,
        "NEGLIGIBLE_LINES": resample.NEGLIGIBLE_LINES,
        "NEGLIGIBLE_SHEAR_LINES": resample.NEGLIGIBLE_SHEAR_LINES,
        "NODE_LINES": measurement.NODE_LINES,
        "NODE_ROWS": measurement.NODE_ROWS,
        "LEAST_TRUST": measurement.LEAST_TRUST,
        "LARGEST_MOTION": measurement.LARGEST_MOTION,
        "LARGEST_CORRELATION": measurement.LARGEST_CORRELATION,
        "UNIT_VARIANCE": measurement.UNIT_VARIANCE,
        "TOLERANCE": running_average.TOLERANCE,
        "LEAST_PATTERN": running_average.LEAST_PATTERN,
        "OUTLIER_GATE2": running_average.OUTLIER_GATE2,
        "CONTRADICTION_LOSS": running_average.CONTRADICTION_LOSS,
        "SHARED_NOISE": running_average.SHARED_NOISE,
        "OWN_ERROR": running_average.OWN_ERROR,
        "MEDIAN_OF_SQUARES": running_average.MEDIAN_OF_SQUARES,
        "FEWEST_PIXELS": running_average.FEWEST_PIXELS,
        "LINE_STEP": running_average.LINE_STEP,
        "ROW_STEP": running_average.ROW_STEP,
        "LARGEST_PATTERN": running_average.LARGEST_PATTERN,
        "WHOLE_LINE": running_average.WHOLE_LINE,
    }


def kernel_source() -> str:
    """Return all CUDA source as one text, for NVRTC or, as plain C++17, for a host compiler."""
    constants = {name: np.asarray(value).item() for name, value in _constants().items()}
    defines = [f"#define {name} {value!r}" for name, value in constants.items()]
    folder = files("rtelasto.gpu") / "cuda"
    sources = [(folder / name).read_text(encoding="utf-8") for name in _SOURCES]
    return "\n".join([*defines, structs(), *sources])
