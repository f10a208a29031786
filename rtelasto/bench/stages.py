"""Times of the stages of the pipeline on simulated frames, for ``bench`` and ``doctor``."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.pipeline.devices import open_estimator
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pairing import Pairing
from rtelasto.pipeline.persistence import Persistence
from rtelasto.telemetry.latency import Latencies, LatencySummary
from rtelasto.wire.rf import decode_rf, encode_rf

_WARM_UP = 2


def timing_frames(rf_format: RfFormat | None = None, *, strain: float = 0.005) -> list[RfFrame]:
    """Return three int16 frames of speckle, always the same, each strained by ``strain`` from the last."""
    from rtelasto_engines.simulate.echo import EchoModel
    from rtelasto_engines.simulate.motion import DisplacementField
    from rtelasto_engines.simulate.scatterers import EchoTexture, scatter
    from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT

    rf_format = rf_format or PUBLISHED_FORMAT
    depth_m = 1.02 * (rf_format.start_depth_m + rf_format.n_samples * rf_format.axial_step_m)
    still = DisplacementField.zero(
        width_m=rf_format.n_lines * rf_format.line_pitch_m + 4e-3, depth_m=depth_m
    )
    model = EchoModel(rf_format)
    rng = np.random.default_rng(7)
    cloud = scatter(rng, model, EchoTexture(), travel_z_m=2.0 * strain * depth_m)
    frames = []
    for index in range(3):
        rf = model.rf(cloud.moved(still.plus_affine(axial_slope=-strain * index)))
        counts = 1000.0 * rf / np.sqrt(np.mean(np.square(rf, dtype=np.float64)))
        samples = np.clip(np.rint(counts), -32768, 32767).astype(np.int16)
        frames.append(RfFrame(samples, rf_format, FrameStamp(frame_id=index)))
    return frames


def time_stages(
    engine: str,
    *,
    pairs: int = 20,
    rf_format: RfFormat | None = None,
    threads: int | None = None,
    cpu_runtime: str = "onnxruntime",
    device: str = "cpu",
) -> dict[str, LatencySummary]:
    """Return times per stage over ``pairs`` pairs, after two warm-up pairs.

    Stages: ``decode`` (wire message to frame), ``pair`` (choosing the partner from a ring of recent frames,
    without the estimate of the global motion, which counts as ``stretch``), ``stretch``, ``engine``,
    ``quality`` (on a GPU, where the three are one graph, ``gpu``), ``persistence``, and ``total``, the sum of
    all. Pairs share frames, as in a live run.
    """
    frames = timing_frames(rf_format)
    messages = [
        [bytes(part) for part in encode_rf(frame, stream="timing", seq=frame.frame_id)]
        for frame in frames
    ]
    estimator = open_estimator(engine, device=device, threads=threads, cpu_runtime=cpu_runtime)
    times: dict[str, Latencies] = {}
    pairing = Pairing(PairPolicy.parse("adaptive"))
    persistence = Persistence(1.0, estimator.average)
    period_ns = 10_000_000
    # Back and forth over three frames: 0 1 2 1 0 1 …, so that every pair has the same strain.
    order = [0, 1, 2, 1]
    for index in range(pairs + _WARM_UP + 1):
        started = time.perf_counter_ns()
        frame = decode_rf(messages[order[index % 4]]).frame
        assert isinstance(frame, RfFrame)
        decoded = time.perf_counter_ns()
        frame = dataclasses.replace(frame, stamp=FrameStamp(index, index * period_ns))
        pair = pairing.push(frame)
        paired = time.perf_counter_ns()
        if pair is None:
            continue
        strain = estimator(pair)
        pairing.observe(pair, strain)
        estimated = time.perf_counter_ns()
        pre_s, post_s = 1e-9 * pair.pre.acquired_ns, 1e-9 * pair.post.acquired_ns
        persistence(strain, pre_s=pre_s, post_s=post_s)
        finished = time.perf_counter_ns()
        if index > _WARM_UP:
            stages = {
                "decode": decoded - started,
                "pair": paired - decoded,
                **strain.stage_ns,
                "persistence": finished - estimated,
                "total": finished - started,
            }
            for name, time_ns in stages.items():
                times.setdefault(name, Latencies()).add(time_ns)
    return {name: latencies.summary() for name, latencies in times.items()}
