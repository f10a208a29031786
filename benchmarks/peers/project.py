"""The engines of this project on whole pairs: stretch, engine and adding back, without the quality map.

``ncc/21`` is the classical engine with the sharpest strain window tried. Its edges are closest to those of
the network (the model card has the comparison); its correlation window and step are those of ``ncc``.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from benchmarks.peers import Peer, Work
from rtelasto.cpu.classical.ncc import NccEngine
from rtelasto.cpu.stretch import Stretch
from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.frames.strain import StrainEngine, compose
from rtelasto.pipeline.engines import open_engine
from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT


def _whole_pair(engine: StrainEngine, pre: NDArray[Any], post: NDArray[Any]) -> Work:
    stretch = Stretch(engine.samples_per_wavelength)

    def strain() -> NDArray[Any]:
        # New frames, so that nothing is cached from an earlier call.
        frames = (RfFrame(samples, PUBLISHED_FORMAT) for samples in (pre, post))
        stretched = stretch(FramePair(*frames))
        return compose(stretched.elongation, engine.estimate(stretched)).axial_strain

    return strain


PEERS = {
    "cnn": Peer(
        "the former default engine",
        lambda pre, post, threads: _whole_pair(open_engine("cnn", threads=threads), pre, post),
    ),
    "ncc": Peer(
        "this project's normalised cross-correlation",
        lambda pre, post, threads: _whole_pair(open_engine("ncc"), pre, post),
    ),
    "ncc/21": Peer(
        "the same with the strain window that gives the network's edge width",
        lambda pre, post, threads: _whole_pair(NccEngine(strain_window=21), pre, post),
    ),
    "am": Peer(
        "this project's analytic minimisation",
        lambda pre, post, threads: _whole_pair(open_engine("am"), pre, post),
    ),
}
