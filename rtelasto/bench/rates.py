"""The rates of a machine: bytes copied and matrix-multiplication operations per second.

The code does not depend on the device: :func:`measure_rates` takes NumPy or CuPy. On a CPU, NumPy's matrix
multiplication may lack kernels for the newest processors, so :func:`cpu_rates` also measures the network
runtime and uses the faster of the two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import onnxruntime as ort

# The graph c = a @ b as an ONNX file; tests/test_floor.py rebuilds it from its parts.
PRODUCT_MODEL = bytes.fromhex(
    "08083a610a110a01610a016212016322064d61744d756c120770726f647563745a150a016112100a0e080112"
    "0a0a0312016e0a0312016d5a150a016212100a0e0801120a0a0312016d0a0312016b62150a016312100a0e08"
    "01120a0a0312016e0a0312016b42040a001012"
)


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of copying and of multiplying matrices.

    Bytes read and written per second; operations per second (a multiplication and an addition are two).
    """

    copy_bytes_s: float
    multiply_ops_s: float


def measure_rates(
    xp: ModuleType = np,
    *,
    synchronize: Callable[[], object] = lambda: None,
    threads: int = 1,
    dtype: str = "float32",
    copy_bytes: int = 2**26,
    matrix_size: int = 1536,
    repeats: int = 10,
) -> Rates:
    """Return the best copy and matrix-multiplication rates of a device out of ``repeats``.

    Parameters
    ----------
    xp
        ``numpy``, or ``cupy`` for its current device.
    synchronize
        Waits for the device: ``cupy.cuda.Device().synchronize``.
    threads
        Number of threads that copy concurrently (NumPy's copy uses one); 1 for a GPU.
    dtype
        Type of the matrices: that of the engine's computation.
    copy_bytes
        Bytes that each thread copies: more than the last-level cache holds.
    matrix_size
        Number of rows of the square matrices.
    """
    sources = [xp.ones(copy_bytes // 4, xp.float32) for _ in range(threads)]
    targets = [xp.empty_like(source) for source in sources]
    left = xp.ones((matrix_size, matrix_size), dtype)
    product = xp.empty_like(left)

    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            if threads == 1:
                xp.copyto(targets[0], sources[0])
            else:
                list(pool.map(xp.copyto, targets, sources))

        copy_s = _best_s(copy, synchronize, repeats)
    multiply_s = _best_s(lambda: xp.matmul(left, left, out=product), synchronize, repeats)
    return Rates(2 * threads * copy_bytes / copy_s, 2 * matrix_size**3 / multiply_s)


def cpu_rates(threads: int, *, matrix_size: int = 1536, repeats: int = 10) -> Rates:
    """Return the float32 rates of this many cores, multiplying with NumPy or the runtime if faster."""
    rates = measure_rates(threads=threads, matrix_size=matrix_size, repeats=repeats)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(PRODUCT_MODEL, options, providers=["CPUExecutionProvider"])
    matrix = np.ones((matrix_size, matrix_size), np.float32)
    best_s = _best_s(lambda: session.run(None, {"a": matrix, "b": matrix}), lambda: None, repeats)
    return Rates(rates.copy_bytes_s, max(rates.multiply_ops_s, 2 * matrix_size**3 / best_s))


def gpu_rates() -> Rates:
    """Return the rates of CuPy's current device, with multiplication in half precision as in engines."""
    import cupy

    return measure_rates(
        cupy,
        synchronize=cupy.cuda.get_current_stream().synchronize,
        dtype="float16",
        copy_bytes=2**29,
        matrix_size=8192,
    )


def _best_s(work: Callable[[], object], synchronize: Callable[[], object], repeats: int) -> float:
    work()
    synchronize()
    best = math.inf
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        synchronize()
        best = min(best, time.perf_counter() - started)
    return best
