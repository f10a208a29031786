"""Strain of frames held in arrays, two or a whole sequence: the Python API."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import DEFAULT_ENGINE, StrainFrame
from rtelasto.pipeline.accumulation import check_reference
from rtelasto.pipeline.averaged_pairs import check_persistence_s
from rtelasto.pipeline.devices import open_estimator
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline, image_fault
from rtelasto.telemetry.counters import Counters

if TYPE_CHECKING:
    from rtelasto.gpu.estimator import GpuEstimator

_estimators: dict[tuple[str, str], CpuEstimator | GpuEstimator] = {}
_lock = threading.Lock()


def estimate(
    pre: ArrayLike,
    post: ArrayLike,
    rf_format: RfFormat,
    *,
    engine: str = DEFAULT_ENGINE,
    device: str = "auto",
) -> StrainFrame:
    """Axial strain between a pre- and a post-compression RF frame.

    Parameters
    ----------
    pre, post
        RF frames of shape (n_lines, n_samples), any real dtype. Samples that are not finite are treated as
        outside the field of view: correlation is 0 there.
    rf_format
        Format of the frames; its ``n_lines`` and ``n_samples`` must match.
    engine
        ``cnn-lateral`` (default), ``cnn2``, ``cnn``, ``ncc``, ``am``, or the path of an ONNX file. An engine
        is opened on its first use and kept; calls from several threads take turns.
    device
        ``auto`` uses the GPU if there is one with a runtime for networks; ``cpu`` and ``gpu`` require that
        device.

    Returns
    -------
    StrainFrame
        ``axial_strain``, ``axial_displacement_m`` and ``correlation`` of shape (n_lines, n_depths), on
        ``grid`` (``grid.depth_m``, ``grid.lateral_m``); where the engine
        gives them also ``lateral_displacement_m``, ``lateral_strain`` and ``axial_strain_std``.

    Raises
    ------
    RtelastoError
        If a frame does not have the shape of the format, is not real, holds no finite sample, or is
        constant; or if there is no such engine or device.
    """
    pair = FramePair(_frame("pre", pre, rf_format, 0), _frame("post", post, rf_format, 1))
    with _lock:
        estimator = _estimators.get((engine, device))
        if estimator is None:
            estimator = open_estimator(engine, device=device)
            _estimators[engine, device] = estimator
        return estimator(pair)


def stream(
    frames: Iterable[ArrayLike | RfFrame],
    rf_format: RfFormat,
    *,
    frame_rate_hz: float = 20.0,
    pair: str = "adaptive",
    persistence_s: float = 1.0,
    engine: str = DEFAULT_ENGINE,
    device: str = "auto",
    target_strain: float = 0.007,
    max_lag_s: float = 0.5,
    accumulate: bool = False,
    reference: int | None = None,
    counters: Counters | None = None,
) -> Iterator[StrainFrame]:
    """Strain of a sequence of RF frames, as in a live run: best pairs, averaged over time.

    >>> for frame in rtelasto.stream(arrays, rf_format, frame_rate_hz=20.0):  # doctest: +SKIP
    ...     print(frame.frame_ids, frame.applied_strain, frame.relative_strain.shape)

    Parameters
    ----------
    frames
        RF frames in the order in which they were acquired: arrays of shape (n_lines, n_samples), any real
        dtype, or `RfFrame` objects, which keep their frame ids and times. They are taken one at a time, and
        none in advance.
    rf_format
        Format of the frames.
    frame_rate_hz
        Frames per second, for arrays, which have no times of their own.
    pair
        ``adaptive``, ``consecutive`` or ``lag N`` (docs/pairing.md).
    persistence_s
        Time constant of the average over time, s; 0 for none (docs/persistence.md).
    engine, device
        As for `estimate`. Each call opens an engine of its own.
    target_strain, max_lag_s
        For adaptive pairs: the applied strain to aim for, and how far back to look, s.
    accumulate
        Also accumulate motion from a reference frame on (docs/accumulation.md); takes about twice the time.
    reference
        ``frame_id`` of the reference, for arrays their index; by default the older frame of the first pair.
    counters
        Counts frames that make no strain frame, by cause.

    Yields
    ------
    StrainFrame
        One for each frame with a partner. For arrays, ``frame_ids`` are their indices in the sequence.

    Raises
    ------
    RtelastoError
        At the call, if an argument is out of range or there is no such engine; during iteration, if a frame
        does not have the shape of the format or is not real.
    """
    if not 0.1 <= frame_rate_hz <= 10_000.0:
        raise RtelastoError(f"frame_rate_hz must lie in 0.1…10000 Hz, got {frame_rate_hz:g}")
    check_persistence_s(persistence_s)
    check_reference(reference, accumulate)
    policy = PairPolicy.parse(pair, target_strain=target_strain, max_lag_s=max_lag_s)
    estimator = open_estimator(engine, device=device, history=policy.history)
    pipeline = Pipeline(
        estimator,
        policy,
        counters,
        persistence_s=persistence_s,
        accumulate=accumulate,
        reference=reference,
    )
    return _strain_of(frames, rf_format, 1e9 / frame_rate_hz, pipeline)


def _strain_of(
    frames: Iterable[ArrayLike | RfFrame], rf_format: RfFormat, period_ns: float, pipeline: Pipeline
) -> Iterator[StrainFrame]:
    for index, given in enumerate(frames):
        if isinstance(given, RfFrame):
            frame = given
        else:
            try:
                frame = RfFrame(
                    np.ascontiguousarray(given),
                    rf_format,
                    FrameStamp(index, round((index + 1) * period_ns)),
                )
            except RtelastoError as error:
                raise RtelastoError(f"frame {index}: {error}") from None
        strain = pipeline.process(frame)
        if strain is not None:
            yield strain


def _frame(name: str, samples: ArrayLike, rf_format: RfFormat, frame_id: int) -> RfFrame:
    array = np.ascontiguousarray(samples)
    try:
        frame = RfFrame(array, rf_format, FrameStamp(frame_id=frame_id))
    except RtelastoError as error:
        raise RtelastoError(f"{name}: {error}") from None
    fault = image_fault(array)
    if fault:
        raise RtelastoError(f"{name} is {fault}: there is no echo to track in it")
    return frame
