"""The picture of every engine side by side: which pairs it takes, and that it is drawn."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from archive import write_palpation

pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
pytest.importorskip("skfem", reason="needs the extra 'sim'")

from benchmarks.side_by_side import (
    CHOOSING,
    ENGINES,
    LEAST_QUALITY,
    TISSUES,
    draw,
    recording_row,
    tissue_rows,
)
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import FramePair
from rtelasto.pipeline.engines import open_engine
from rtelasto.sources import open_recording

pytestmark = pytest.mark.slow


def test_tissues_and_the_strongest_pair_of_a_recording_by_every_engine(tmp_path: Path) -> None:
    engines = [CpuEstimator(open_engine(name)) for name in ENGINES]
    tissues = list(tissue_rows(engines))
    assert len(tissues) == TISSUES
    for row in tissues:
        assert row.simulated
        for strain in row.strains:
            error = strain.axial_strain - row.known
            assert abs(float(np.median(error))) < 0.1 * abs(float(np.median(row.known)))
    scan = write_palpation(tmp_path / "palpation.h5", 12)
    recorded = recording_row(scan, engines)
    assert not recorded.simulated
    names = [strain.engine for strain in recorded.strains]
    assert names == list(ENGINES)
    pre, post = recorded.strains[0].frame_ids
    assert post == pre + 1
    with open_recording(scan) as recording:
        of_pairs = [engines[CHOOSING](FramePair(*pair)) for pair in pairwise(recording)]
    strains = [abs(pair.applied_strain) for pair in of_pairs if pair.quality >= LEAST_QUALITY]
    assert abs(recorded.strains[CHOOSING].applied_strain) == max(strains) > min(strains)
    draw([*tissues, recorded], tmp_path / "side.png")
    assert (tmp_path / "side.png").stat().st_size > 50_000
