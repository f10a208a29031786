"""Two-dimensional analytic minimisation, line by line: the kernel of the ``am`` engine.

After Rivaz, Boctor, Choti, Hager, "Real-time regularized ultrasound elastography", IEEE Trans. Medical
Imaging 30(4), 2011, cited below as RTUE.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.classical.residual_warp import read_between, reading_tables
from rtelasto.cpu.line_threads import run_side_by_side
from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel


class Weights(NamedTuple):
    """Weights of the cost, for echoes of RMS 1 and motion in samples and lines."""

    axial: float  # α: (a_i - a_{i-1})²
    axial_lateral: float  # α_l: (a_{i,j} - a_{i,j-1})²
    lateral: float  # β_a: (l_i - l_{i-1})²
    lateral_lateral: float  # β_l: (l_{i,j} - l_{i,j-1})²
    outlier: float  # T: residual at which the weight of a sample is one half


@kernel()
def gradients(image, axial, lateral):  # type: ignore[no-untyped-def]
    """Central differences: of sixth order along the lines, of second order across them."""
    n_lines, n_samples = image.shape
    for line in range(n_lines):
        before, after = max(line - 1, 0), min(line + 1, n_lines - 1)
        distance = max(after - before, 1)
        for i in range(n_samples):
            lateral[line, i] = (image[after, i] - image[before, i]) / distance
            if 3 <= i < n_samples - 3:
                near = image[line, i + 1] - image[line, i - 1]
                middle = image[line, i + 2] - image[line, i - 2]
                far = image[line, i + 3] - image[line, i - 3]
                axial[line, i] = (45.0 * near - 9.0 * middle + far) / 60.0
            else:
                above, below = max(i - 1, 0), min(i + 1, n_samples - 1)
                axial[line, i] = (image[line, below] - image[line, above]) / max(below - above, 1)


@kernel()
def _solve_line(system, right, alpha, beta, along, across):  # type: ignore[no-untyped-def]
    """Block Thomas algorithm for 2 × 2 blocks whose neighbours couple by -diag(alpha, beta).

    system[i] holds the symmetric block (aa, al, ll), right[i] the right side; both are overwritten.
    """
    n = along.size
    for i in range(1, n):
        # M_i = A_i - D M_{i-1}⁻¹ D and b_i = b_i + D M_{i-1}⁻¹ b_{i-1}, with D = diag(alpha, beta)
        aa, al, ll = system[i - 1, 0], system[i - 1, 1], system[i - 1, 2]
        determinant = aa * ll - al * al
        inverse_aa, inverse_al, inverse_ll = ll / determinant, -al / determinant, aa / determinant
        system[i, 0] -= alpha * alpha * inverse_aa
        system[i, 1] -= alpha * beta * inverse_al
        system[i, 2] -= beta * beta * inverse_ll
        p, q = right[i - 1, 0], right[i - 1, 1]
        right[i, 0] += alpha * (inverse_aa * p + inverse_al * q)
        right[i, 1] += beta * (inverse_al * p + inverse_ll * q)
    next_a = next_l = 0.0
    for i in range(n - 1, -1, -1):
        p, q = right[i, 0], right[i, 1]
        if i < n - 1:
            p += alpha * next_a
            q += beta * next_l
        aa, al, ll = system[i, 0], system[i, 1], system[i, 2]
        determinant = aa * ll - al * al
        next_a = (ll * p - al * q) / determinant
        next_l = (aa * q - al * p) / determinant
        along[i], across[i] = next_a, next_l


@kernel()
def minimise_line(  # type: ignore[no-untyped-def]
    pre,
    post,
    slope_a,
    slope_l,
    line,
    neighbour,
    weights,
    limits,
    tables,
    work,
    along,
    across,
    residual,
):
    """Make one Gauss-Newton step on the cost of a line and overwrite the line's motion.

    With the residual linearised about the current motion, the sum over i of

        w_i [pre(i, j) - post(i + a_i, j + l_i)]² + α (a_i - a_{i-1})² + β_a (l_i - l_{i-1})²
            + α_l' (a_i - a_{i,j-1})² + β_l' (l_i - l_{i,j-1})²

    over (a, l) = (along, across) is quadratic: the cost of RTUE's "2D analytic minimization", with
    the term in α_l from their 1-D method, and its minimum a block-tridiagonal system. As published,
    the gradient is that of the pre-compression line, which needs no interpolation ("inverse
    gradient estimation"); outliers are reweighted by the Cauchy function w = 1 / (1 + (r / T)²)
    ("making elastography resistant to outliers"); α_l' and β_l' are α_l and β_l over
    1 + |r_{i,j-1}|, so that errors do not spread from line to line. The average strain ε, which biases the
    continuity term in the paper, is 0 in a stretched pair. Samples outside the frame have no weight.

    ``neighbour`` is (whether there is one, its a, l and residual), ``limits`` the largest |a| and |l|.
    """
    alpha, alpha_l, beta, beta_l, outlier = weights
    has_neighbour, neighbour_a, neighbour_l, neighbour_residual = neighbour
    axial_table, lateral_table = tables
    system, right = work
    n = pre.shape[1]
    for i in range(n):
        position = i + along[i]
        ga, gl = np.float64(slope_a[line, i]), np.float64(slope_l[line, i])
        weight, rest = 0.0, 0.0
        if 0.0 <= position <= n - 1.0:
            value = read_between(post, line, across[i], position, axial_table, lateral_table)
            rest = np.float64(pre[line, i]) - value
            weight = 1.0 / (1.0 + (rest / outlier) ** 2)
        residual[i] = rest
        # The unknown is the motion itself: the data term is w (rest + g·(a, l) - g·x)².
        target = weight * (rest + ga * along[i] + gl * across[i])
        neighbours = (1.0 if i > 0 else 0.0) + (1.0 if i < n - 1 else 0.0)
        # Without an echo or neighbours the motion is undetermined: a very small weight keeps it unchanged.
        aa, ll = 1e-6 + neighbours * alpha, 1e-6 + neighbours * beta
        ra, rl = 1e-6 * along[i], 1e-6 * across[i]
        if has_neighbour:
            trust = 1.0 / (1.0 + abs(neighbour_residual[i]))
            aa += alpha_l * trust
            ll += beta_l * trust
            ra += alpha_l * trust * neighbour_a[i]
            rl += beta_l * trust * neighbour_l[i]
        system[i, 0] = aa + weight * ga * ga
        system[i, 1] = weight * ga * gl
        system[i, 2] = ll + weight * gl * gl
        right[i, 0] = ra + ga * target
        right[i, 1] = rl + gl * target
    _solve_line(system, right, alpha, beta, along, across)
    for i in range(n):
        along[i] = min(max(along[i], -limits[0]), limits[0])
        across[i] = min(max(across[i], -limits[1]), limits[1])


@kernel()
def minimise_lines(  # type: ignore[no-untyped-def]
    pre,
    post,
    slopes,
    first,
    direction,
    weights,
    limits,
    tables,
    steps,
    along,
    across,
    residual,
):
    """Estimate the motion of the lines from ``first`` on in one direction, each from the line before it.

    ``along``, ``across`` and ``residual``, float64 (n_lines, n_samples), hold the line before the first and
    receive the results. With a direction of 0 only the first line is estimated, from its own motion.
    """
    n_lines, n = pre.shape
    work = (np.empty((n, 3)), np.empty((n, 2)))
    line = first
    while 0 <= line < n_lines:
        last = line - direction
        for i in range(n):
            along[line, i], across[line, i] = along[last, i], across[last, i]
        neighbour = (direction != 0, along[last], across[last], residual[last])
        for _ in range(steps):
            minimise_line(
                pre,
                post,
                slopes[0],
                slopes[1],
                line,
                neighbour,
                weights,
                limits,
                tables,
                work,
                along[line],
                across[line],
                residual[line],
            )
        if direction == 0:
            break
        line += direction


def minimise_image(
    pre: Float32Image,
    post: Float32Image,
    seed: int,
    start: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    weights: Weights,
    limits: tuple[float, float],
    seed_steps: int,
    line_steps: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the sub-sample motion of all lines: the seed line first, then outwards on both sides of it.

    Parameters
    ----------
    pre, post
        float32 (n_lines, n_samples), joint RMS about 1.
    seed, start
        Index of the seed line and its initial motion, along (samples) and across (lines),
        each (n_samples,).
    weights, limits
        Weights of the cost; largest motion along and across.
    seed_steps, line_steps
        Gauss-Newton steps for the seed line and for each other line.

    Returns
    -------
    along, across : float64 (n_lines, n_samples)
        Motion in samples and in lines.
    """
    slopes = (np.empty_like(pre), np.empty_like(pre))
    gradients(pre, *slopes)
    along, across, residual = np.zeros(pre.shape), np.zeros(pre.shape), np.zeros(pre.shape)
    along[seed], across[seed] = start
    tables = reading_tables()

    def run(first: int, direction: int, steps: int) -> None:
        minimise_lines(
            pre,
            post,
            slopes,
            first,
            direction,
            weights,
            limits,
            tables,
            steps,
            along,
            across,
            residual,
        )

    run(seed, 0, seed_steps)
    run_side_by_side(lambda: run(seed + 1, 1, line_steps), lambda: run(seed - 1, -1, line_steps))
    return along, across
