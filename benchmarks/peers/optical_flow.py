"""Optical flow of the two frames by common Python libraries, and its axial slope.

The input frames are 8-bit images (OpenCV) or float32 (scikit-image), scaled to their range. The flow is then
differentiated by a least-squares slope over 121 samples, as for a strain image. Nothing is tuned for RF: only
the times are comparable, not the strain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from benchmarks.peers import Peer, Work

_SLOPE_SAMPLES = 121


def _slope(displacement: NDArray[Any]) -> NDArray[Any]:
    tap = np.arange(_SLOPE_SAMPLES) - _SLOPE_SAMPLES // 2
    return correlate1d(displacement, tap / np.square(tap).sum(), axis=1, mode="nearest")


def _unit_range(samples: NDArray[Any]) -> NDArray[np.float32]:
    image = samples.astype(np.float32)
    return (image - image.min()) / (image.max() - image.min())


def _farneback(pre: NDArray[Any], post: NDArray[Any], threads: int) -> Work:
    import cv2

    cv2.setNumThreads(threads)

    def strain() -> NDArray[Any]:
        images = [np.rint(255.0 * _unit_range(frame)).astype(np.uint8) for frame in (pre, post)]
        start = np.zeros((*pre.shape, 2), np.float32)
        flow = cv2.calcOpticalFlowFarneback(*images, start, 0.5, 3, 15, 3, 5, 1.2, 0)
        return _slope(flow[..., 0])

    return strain


def _dis(pre: NDArray[Any], post: NDArray[Any], threads: int) -> Work:
    import cv2

    cv2.setNumThreads(threads)
    search = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)

    def strain() -> NDArray[Any]:
        images = [np.rint(255.0 * _unit_range(frame)).astype(np.uint8) for frame in (pre, post)]
        return _slope(search.calc(*images, None)[..., 0])

    return strain


def _lucas_kanade(pre: NDArray[Any], post: NDArray[Any], threads: int) -> Work:
    from skimage.registration import optical_flow_ilk

    def strain() -> NDArray[Any]:
        flow = optical_flow_ilk(_unit_range(pre), _unit_range(post), radius=7, dtype=np.float32)
        return _slope(flow[1])

    return strain


def _tv_l1(pre: NDArray[Any], post: NDArray[Any], threads: int) -> Work:
    from skimage.registration import optical_flow_tvl1

    def strain() -> NDArray[Any]:
        flow = optical_flow_tvl1(_unit_range(pre), _unit_range(post), dtype=np.float32)
        return _slope(flow[1])

    return strain


PEERS = {
    "opencv dis": Peer("OpenCV, dense inverse search, medium preset", _dis, ("cv2",)),
    "opencv farneback": Peer("OpenCV, Farnebäck, its tutorial's parameters", _farneback, ("cv2",)),
    "skimage ilk": Peer("scikit-image, iterative Lucas–Kanade", _lucas_kanade, ("skimage",)),
    "skimage tvl1": Peer("scikit-image, TV-L1", _tv_l1, ("skimage",)),
}
