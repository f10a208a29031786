"""Computes the strain of a whole recording into a file, with the live pipeline but without the wire."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import StrainFrame
from rtelasto.host.names import printable_name
from rtelasto.offline.content_key import content_key
from rtelasto.pipeline.accumulation import check_reference
from rtelasto.pipeline.estimators import Estimator
from rtelasto.pipeline.pipeline import Pipeline
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.output_check import PICTURE, STRAIN, VIDEO, check_outputs
from rtelasto.sinks.shown_strain import REST_STRAIN
from rtelasto.sinks.strain_layers import DEFAULT_MASK, Layer, Shown, layer_of
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sources.recording import Recording
from rtelasto.sources.strain_file import StrainFile
from rtelasto.telemetry.counters import Counters
from rtelasto.telemetry.latency import Latencies, LatencySummary
from rtelasto.transport.sequence import SequenceCheck


@dataclass(frozen=True, slots=True)
class HandSummary:
    """Numbers of pairs in a press, in a release and at rest, and median applied strain of the first two.

    Press and release have opposite signs, so a mean over both would be meaningless.
    """

    press: int
    press_strain: float
    release: int
    release_strain: float
    at_rest: int

    @classmethod
    def of(cls, applied_strain: NDArray[np.floating]) -> HandSummary:
        """Summarise the applied strain of each pair, NaN if unknown."""
        known = applied_strain[np.isfinite(applied_strain)]
        press, release = known[known <= -REST_STRAIN], known[known >= REST_STRAIN]
        at_rest = int(known.size - press.size - release.size)
        return cls(press.size, finite_median(press), release.size, finite_median(release), at_rest)

    def __str__(self) -> str:
        parts = [
            f"{name} {100.0 * strain:+.2f} % ({pairs} pairs)"
            for name, pairs, strain in (
                ("press", self.press, self.press_strain),
                ("release", self.release, self.release_strain),
            )
            if pairs
        ]
        if self.at_rest or not parts:
            parts.append(f"at rest ({self.at_rest} pairs)")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class OfflineSummary:
    """What a processed recording holds: number of pairs, medians over pairs of their median correlation and
    of their share of poor pixels, the hand's motion, and what became of the frames that made no pair."""

    pairs: int
    median_quality: float
    median_poor_share: float
    hand: HandSummary
    time_per_pair: LatencySummary
    counters: dict[str, int]


def process_recording(
    recording: Recording,
    out: Path,
    settings: EstimateSettings,
    *,
    png: Path | None = None,
    mp4: Path | None = None,
    show: Shown = "strain",
    accumulate: bool = False,
    reference: int | None = None,
    force: bool = False,
    on_frame: Callable[[], None] | None = None,
    estimator: Estimator | None = None,
) -> OfflineSummary:
    """Write the strain of every pair of a recording to ``out``.

    If requested, also draw the pair with the largest strain as a picture and all pairs as a video, or what
    ``show`` names in place of the strain (`rtelasto.sinks.picture.save_picture`). Frames that are missing
    according to the frame ids are counted as ``gaps``, as in a live run; no pair spans them.
    ``estimator`` is one of the same settings that is open already.

    With ``accumulate`` strain frames also carry the motion accumulated from the frame with the id
    ``reference``, by default the first (`rtelasto.pipeline.accumulation`).

    Raises
    ------
    MissingExtraError
        If a picture or video is requested and a package that draws it is not installed.
    RtelastoError
        If no pair can be made, the engine does not give what is to be shown, or a file cannot be written or,
        without ``force``, must not be replaced (`rtelasto.sinks.output_check.check_outputs`); ``out`` is
        then left unchanged.
    """
    check_outputs(
        ("--out", out, STRAIN),
        ("--png", png, PICTURE),
        ("--mp4", mp4, VIDEO),
        inputs=recording.files,
        force=force,
    )
    counters = Counters()
    policy = settings.policy()
    if recording.n_frames < 2:
        raise RtelastoError(
            f"{recording.path}: {recording.n_frames} frame makes no pair, at least 2 are needed"
        )
    check_reference(reference, accumulate)
    if reference is not None and reference not in recording.frame_ids:
        raise RtelastoError(f"{recording.path}: there is no reference frame {reference}")
    if estimator is None:
        estimator = settings.open_estimator()
        estimator.warm_up()
    pipeline = Pipeline(
        estimator,
        policy,
        counters,
        drop_copies=True,
        persistence_s=settings.persistence_s,
        accumulate=accumulate,
        reference=reference,
    )
    pipeline.warm_up()
    used = pipeline.look_ahead(recording)
    # The frames' indices serve as a sender's seq: what is missing was lost before the recording.
    sequence = SequenceCheck(counters)
    key = content_key(recording, settings, show=show, accumulate=accumulate, reference=reference)
    provenance = {
        **recording.provenance,
        "engine": settings.engine,
        "pair": settings.pair,
        "made_from": key,
    }
    if used != recording.format:
        provenance["center_freq_given_hz"] = recording.format.center_freq_hz
    qualities: list[float] = []
    poor_shares: list[float] = []
    strains: list[float] = []
    times = Latencies()
    best: StrainFrame | None = None
    layer: Layer | None = None
    with StrainWriter(out, used, provenance=provenance) as writer:
        for index, frame in enumerate(recording):
            started = time.perf_counter_ns()
            new = sequence.accept(frame.stream, index, frame.frame_id)
            strain = pipeline.process(frame) if new else None
            if strain is not None:
                times.add(time.perf_counter_ns() - started)
                writer.write(strain)
                qualities.append(strain.quality)
                poor_shares.append(strain.poor_share)
                strains.append(strain.applied_strain)
                if layer is None:
                    layer = layer_of(strain, show, DEFAULT_MASK)
                if best is None or layer.strength(strain) > layer.strength(best):
                    best = strain
            if on_frame is not None:
                on_frame()
        if best is None or layer is None:
            causes = ", ".join(f"{name} {count}" for name, count in counters.snapshot().items())
            raise RtelastoError(
                f"{recording.path}: none of its {recording.n_frames} frames made a pair ({causes})"
            )
    if png is not None:
        from rtelasto.sinks.picture import save_picture

        save_picture(
            png,
            best,
            recording.frame_with_id(layer.at_frame(best)),
            title=printable_name(f"{recording.path.name} · {best.engine}"),
            show=show,
            made_from=key,
        )
    if mp4 is not None:
        from rtelasto.sinks.video import save_video

        with StrainFile(out) as strain_file:
            save_video(mp4, strain_file, recording.frame_with_id, show=show)
    counts = counters.snapshot()
    counts.pop("strain.out", None)
    return OfflineSummary(
        len(qualities),
        finite_median(qualities),
        finite_median(poor_shares),
        HandSummary.of(np.array(strains)),
        times.summary(),
        counts,
    )


def finite_median(values: ArrayLike) -> float:
    """Return the median of the values that are numbers, NaN if there are none."""
    numbers = np.asarray(values)
    numbers = numbers[np.isfinite(numbers)]
    return float(np.median(numbers)) if numbers.size else math.nan
