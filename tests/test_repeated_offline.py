"""A frame that a recording holds twice shows no strain against itself: it is dropped and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from speckle import SMALL_FORMAT, small_press

from rtelasto.offline.process import OfflineSummary, process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sources import open_recording
from rtelasto.sources.strain_file import StrainFile


@pytest.fixture(scope="module")
def distinct() -> list[np.ndarray]:
    """Four frames, pressed and let go in turn."""
    return [*small_press()] * 2


def processed(
    folder: Path, frames: list[np.ndarray], pair: str = "consecutive"
) -> tuple[OfflineSummary, StrainFile]:
    np.save(folder / "rf.npy", np.stack(frames))
    values = {name: getattr(SMALL_FORMAT, name) for name in ("sampling_freq_hz", "center_freq_hz")}
    with open_recording(
        folder / "rf.npy", line_pitch_m=0.3e-3, axes="frame,line,sample", **values
    ) as recording:
        settings = EstimateSettings(engine="ncc", device="cpu", pair=pair)
        summary = process_recording(recording, folder / "strain.h5", settings)
    return summary, StrainFile(folder / "strain.h5")


@pytest.mark.parametrize("hole", [False, True], ids=["whole frames", "NaN outside the view"])
def test_doubled_frames_are_repeated_and_every_strain_frame_shows_the_press(
    tmp_path: Path, distinct: list[np.ndarray], hole: bool
) -> None:
    frames = [frame.copy() for frame in distinct]
    if hole:
        for frame in frames:
            frame[:4] = np.nan
    summary, strain = processed(tmp_path, [f for frame in frames for f in (frame, frame)])
    with strain:
        assert summary.counters == {"pair.first": 1, "repeated": 4}
        assert (np.abs(strain.applied_strain) > 0.004).all()
        assert strain.frame_ids.tolist() == [[0, 2], [2, 4], [4, 6]]


def test_lags_count_frames_that_differ(tmp_path: Path, distinct: list[np.ndarray]) -> None:
    frames = [*distinct[:2], distinct[1], *distinct[2:]]
    summary, strain = processed(tmp_path, frames, "lag 3")
    with strain:
        assert summary.counters == {"pair.first": 3, "repeated": 1}
        assert strain.frame_ids.tolist() == [[0, 4]]


def test_a_nan_pixel_hides_neither_strain_nor_quality_of_a_recording(
    tmp_path: Path, distinct: list[np.ndarray]
) -> None:
    frames = [frame.copy() for frame in distinct]
    for frame in frames:
        frame[5, 300] = np.nan
    summary, strain = processed(tmp_path, frames)
    strain.close()
    assert summary.pairs == 3
    assert summary.median_quality > 0.9
    assert summary.hand.press + summary.hand.release == 3
