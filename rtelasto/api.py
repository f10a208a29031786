"""Strain of two frames held in arrays: the Python API."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import ArrayLike

from rtelasto.domain import FramePair, RfFormat, RfFrame, StrainFrame
from rtelasto.errors import RtelastoError
from rtelasto.estimator import CpuEstimator
from rtelasto.pipeline import image_fault
from rtelasto.registry import open_engine

_estimators: dict[str, CpuEstimator] = {}
_lock = threading.Lock()


def estimate(
    pre: ArrayLike, post: ArrayLike, rf_format: RfFormat, *, engine: str = "cnn"
) -> StrainFrame:
    """Axial strain between a pre- and a post-compression RF frame.

    Parameters
    ----------
    pre, post
        RF frames of shape (n_lines, n_samples), any real dtype.
    rf_format
        What the frames are; its ``n_lines`` and ``n_samples`` must match.
    engine
        ``cnn`` (default), ``ncc``, ``am``, or the path of an ONNX file. An engine is opened
        on its first use and kept; calls from several threads take turns.

    Returns
    -------
    StrainFrame
        ``axial_strain``, ``axial_displacement_m`` and ``correlation`` of shape (n_lines, n_depths), on
        ``grid`` (``grid.depth_m``, ``grid.lateral_m``).

    Raises
    ------
    RtelastoError
        If a frame has another shape than the format says, is not real, holds NaN or infinity, or is
        constant; or if there is no such engine.
    """
    pair = FramePair(_frame("pre", pre, rf_format, 0), _frame("post", post, rf_format, 1))
    with _lock:
        estimator = _estimators.get(engine)
        if estimator is None:
            estimator = _estimators[engine] = CpuEstimator(open_engine(engine))
        return estimator(pair)


def _frame(name: str, samples: ArrayLike, rf_format: RfFormat, frame_id: int) -> RfFrame:
    array = np.ascontiguousarray(samples)
    try:
        frame = RfFrame(array, rf_format, frame_id=frame_id)
    except RtelastoError as error:
        raise RtelastoError(f"{name}: {error}") from None
    fault = image_fault(array)
    if fault:
        raise RtelastoError(f"{name} is {fault}: there is no echo to track in it")
    return frame
