"""Whole-sample displacement of one line by dynamic programming: the initial motion of the AM engine.

After Rivaz, Boctor, Foroughi, Zellars, Fichtinger, Hager, "Ultrasound elastography: a dynamic
programming approach", IEEE Trans. Medical Imaging 27(10), 2008.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel


@kernel()
def _cheapest_path(pre, post, line, reach, lines, weight, axial, lateral):  # type: ignore[no-untyped-def]
    """Fill axial and lateral with the path of least cost and return its cost per sample."""
    n_lines, n_samples = post.shape
    n_axial, n_lateral = 2 * reach + 1, 2 * lines + 1
    # Steps are stored as 0 … 8: three axial times three lateral ones.
    steps = np.full((n_samples, n_axial, n_lateral), 4, np.int8)
    cost = np.zeros((n_axial, n_lateral))
    following = np.empty((n_axial, n_lateral))
    # A state that reads outside the frame costs as much as two unrelated echoes differ.
    outside = 0.0
    for i in range(n_samples):
        outside += 1.5 * abs(np.float64(pre[line, i])) / n_samples
    for i in range(n_samples):
        for a in range(n_axial):
            sample = i + a - reach
            for s in range(n_lateral):
                other = line + s - lines
                data = outside
                if 0 <= sample < n_samples and 0 <= other < n_lines:
                    data = abs(np.float64(pre[line, i]) - post[other, sample])
                best = cost[a, s] if i > 0 else 0.0
                step = 4
                if i > 0:
                    for da in range(-1, 2):
                        if a + da < 0 or a + da >= n_axial:
                            continue
                        for ds in range(-1, 2):
                            if s + ds < 0 or s + ds >= n_lateral:
                                continue
                            candidate = cost[a + da, s + ds] + weight * (da * da + ds * ds)
                            if candidate < best:
                                best, step = candidate, 3 * (da + 1) + ds + 1
                following[a, s] = data + best
                steps[i, a, s] = step
        cost, following = following, cost
    # Of equal values the smallest motion wins, so that a line without an echo gets no motion.
    a, s = reach, lines
    for other_a in range(n_axial):
        for other_s in range(n_lateral):
            if cost[other_a, other_s] < cost[a, s]:
                a, s = other_a, other_s
    total = cost[a, s]
    for i in range(n_samples - 1, -1, -1):
        axial[i], lateral[i] = a - reach, s - lines
        step = steps[i, a, s]
        a, s = a + step // 3 - 1, s + step % 3 - 1
    return total / n_samples


def seed_displacement(
    pre: Float32Image,
    post: Float32Image,
    line: int,
    *,
    search_samples: int,
    search_lines: int,
    weight: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the whole-sample motion of one line that has the least cost.

    The cost of a path d(i) = (a, l) is

        Σ_i |pre(j, i) - post(j + l, i + a)| + weight·[(a_i - a_{i-1})² + (l_i - l_{i-1})²]

    (Rivaz et al. 2008), minimised by C(d, i) = Δ(d, i) + min over δ of {C(δ, i - 1) + weight·R(d, δ)}
    with steps of at most one sample and one line, and traced back from the last sample.

    Parameters
    ----------
    pre, post
        float32 (n_lines, n_samples), joint RMS about 1.
    line
        Index of the line j.
    search_samples, search_lines
        Largest |a| and |l|.
    weight
        Weight of the continuity term, in units of the RMS.

    Returns
    -------
    axial, lateral : float64 (n_samples,)
        a in samples and l in lines.
    cost : float
        Cost per sample divided by the mean |pre| of the line: well below 1 where the echoes match.
    """
    axial, lateral = np.zeros(pre.shape[1]), np.zeros(pre.shape[1])
    cost = _cheapest_path(pre, post, line, search_samples, search_lines, weight, axial, lateral)
    level = float(np.mean(np.abs(pre[line])))
    return axial, lateral, cost / level if level > 0.0 else np.inf
