"""Strain of two frames held in arrays: the Python API."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.devices import open_estimator
from rtelasto.pipeline.pipeline import image_fault

if TYPE_CHECKING:
    from rtelasto.gpu.estimator import GpuEstimator

_estimators: dict[tuple[str, str], CpuEstimator | GpuEstimator] = {}
_lock = threading.Lock()


def estimate(
    pre: ArrayLike,
    post: ArrayLike,
    rf_format: RfFormat,
    *,
    engine: str = "cnn",
    device: str = "auto",
) -> StrainFrame:
    """Axial strain between a pre- and a post-compression RF frame.

    Parameters
    ----------
    pre, post
        RF frames of shape (n_lines, n_samples), any real dtype. Samples that are not finite lie outside
        the field of view: correlation is 0 there.
    rf_format
        What the frames are; its ``n_lines`` and ``n_samples`` must match.
    engine
        ``cnn`` (default), ``ncc``, ``am``, or the path of an ONNX file. An engine is opened
        on its first use and kept; calls from several threads take turns.
    device
        ``auto`` takes the GPU where there is one with a runtime for networks, ``cpu`` and ``gpu`` insist.

    Returns
    -------
    StrainFrame
        ``axial_strain``, ``axial_displacement_m`` and ``correlation`` of shape (n_lines, n_depths), on
        ``grid`` (``grid.depth_m``, ``grid.lateral_m``).

    Raises
    ------
    RtelastoError
        If a frame has another shape than the format says, is not real, holds no finite sample, or is
        constant; or if there is no such engine or device.
    """
    pair = FramePair(_frame("pre", pre, rf_format, 0), _frame("post", post, rf_format, 1))
    with _lock:
        estimator = _estimators.get((engine, device))
        if estimator is None:
            estimator = open_estimator(engine, device=device)
            _estimators[engine, device] = estimator
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
