"""The ``am`` engine: regularised analytic minimisation of the difference between two frames.

After Rivaz, Boctor, Choti, Hager, "Real-time regularized ultrasound elastography", IEEE Trans. Medical
Imaging 30(4), 2011: whole-sample motion of a seed line by dynamic programming, sub-sample axial and
lateral motion by minimising a regularised cost line by line outwards from it, strain by least squares
and a Kalman filter across the lines.
"""

from __future__ import annotations

import numpy as np

from rtelasto.cpu.classical.analytic_minimisation import Weights, minimise_image
from rtelasto.cpu.classical.common import require_positive, require_whole_number, residual_motion
from rtelasto.cpu.classical.dynamic_programming import seed_displacement
from rtelasto.frames.rf import Float32Image
from rtelasto.frames.strain import ResidualMotion, StretchedPair

# The seed line starts from whole-sample motion, the other lines from the result of their neighbour.
SEED_STEPS = 10


class AmEngine:
    """Two-dimensional regularised analytic minimisation with Kalman-smoothed strain.

    The weights apply to echoes with an RMS of 1, as in stretched pairs: the data term of the
    cost then has a curvature of about (2π / samples per wavelength)², near 1 per sample, so that
    continuity of weight α smooths over about √α samples. The defaults were tuned on simulated pairs
    (``docs/baselines.md``).

    Parameters
    ----------
    axial_weight, axial_lateral_weight
        Continuity α of the axial motion along the line and α_l to the line before.
    lateral_weight, lateral_lateral_weight
        Continuity β_a of the lateral motion along the line and β_l to the line before.
    outlier_residual
        Residual T at which the weight of a sample is one half.
    seed_weight
        Continuity of the dynamic programming on the seed line.
    search_samples, search_lines
        Largest residual motion, in samples and in lines.
    line_steps
        Gauss-Newton steps per line (one, in the paper).
    strain_window
        Length of the least-squares fit in samples of the input grid.
    kalman
        Whether the strain is smoothed across the lines.
    axial_stride
        Samples of the input grid per row of the output grid.

    Raises
    ------
    RtelastoError
        If a weight is not above 0 or a size not a whole number in its range.
    """

    name: str = "am"
    samples_per_wavelength: float | None = 6.4

    def __init__(
        self,
        *,
        axial_weight: float = 150.0,
        axial_lateral_weight: float = 0.3,
        lateral_weight: float = 100.0,
        lateral_lateral_weight: float = 0.1,
        outlier_residual: float = 0.4,
        seed_weight: float = 1.0,
        search_samples: int = 16,
        search_lines: int = 4,
        line_steps: int = 2,
        strain_window: int = 91,
        kalman: bool = True,
        axial_stride: int = 4,
    ) -> None:
        for name, value in (
            ("axial_weight", axial_weight),
            ("axial_lateral_weight", axial_lateral_weight),
            ("lateral_weight", lateral_weight),
            ("lateral_lateral_weight", lateral_lateral_weight),
            ("outlier_residual", outlier_residual),
            ("seed_weight", seed_weight),
        ):
            require_positive(name, value)
        require_whole_number("search_samples", search_samples, 1)
        require_whole_number("search_lines", search_lines, 0)
        require_whole_number("line_steps", line_steps, 1)
        require_whole_number("strain_window", strain_window, 3)
        require_whole_number("axial_stride", axial_stride, 1)
        self.weights = Weights(
            float(axial_weight),
            float(axial_lateral_weight),
            float(lateral_weight),
            float(lateral_lateral_weight),
            float(outlier_residual),
        )
        self.seed_weight = float(seed_weight)
        self.search_samples = search_samples
        self.search_lines = search_lines
        self.line_steps = line_steps
        self.strain_window = strain_window
        self.kalman = kalman
        self.axial_stride = axial_stride

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        """Residual displacement and strain of a pair, row k of the output at sample k·axial_stride."""
        displacement, lateral = self.track(pair)
        return residual_motion(
            pair,
            displacement,
            lateral,
            axial_stride=self.axial_stride,
            strain_window=self.strain_window,
            kalman=self.kalman,
        )

    def track(self, pair: StretchedPair) -> tuple[Float32Image, Float32Image]:
        """Residual displacement, axial in samples and lateral in lines, on the output grid."""
        pre, post = pair.pre, pair.post
        n_lines = pre.shape[0]
        starts = {
            line: seed_displacement(
                pre,
                post,
                line,
                search_samples=self.search_samples,
                search_lines=self.search_lines,
                weight=self.seed_weight,
            )
            for line in (n_lines // 2, n_lines // 4, (3 * n_lines) // 4)
        }
        seed = min(starts, key=lambda line: starts[line][2])
        axial, lateral, _ = starts[seed]
        axial, lateral = minimise_image(
            pre,
            post,
            seed,
            (axial, lateral),
            weights=self.weights,
            limits=(self.search_samples + 1.0, self.search_lines + 1.0),
            seed_steps=SEED_STEPS,
            line_steps=self.line_steps,
        )
        rows = slice(None, None, self.axial_stride)
        return axial[:, rows].astype(np.float32), lateral[:, rows].astype(np.float32)
