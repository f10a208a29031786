"""The published two-stage CNN as described in its publication: a network over explicit patches.

``wu2018`` of this project (docs/engines-wu2018.md) with random weights, both stages, every fourth sample
of every line. A sample of the patches, spread over the frame, is run, and its time is scaled to all of them.
The network processes 1,024 patches at a time, the fastest chunk size tried in `benchmarks.patches`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Peer, Work

_PATCHES_AT_A_TIME = 1024
_SAMPLED = 2048


def _explicit(pre: NDArray[Any], post: NDArray[Any], threads: int) -> Work:
    import torch

    from benchmarks.patches import explicit, network

    torch.set_num_threads(threads)
    model = network()
    frames = [torch.from_numpy(frame / np.float32(frame.std())) for frame in (pre, post)]

    def strain() -> float:
        with torch.inference_mode():
            # The result is the time for all patches.
            return explicit(model, frames[0], frames[1], _PATCHES_AT_A_TIME, _SAMPLED)

    return strain


PEERS = {
    "published cnn": Peer(
        "the published CNN, patch by patch (random weights)", _explicit, ("torch",)
    ),
}
