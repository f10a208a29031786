"""The ``ncc`` engine: windowed normalised cross-correlation, coarse to fine, and least-squares strain.

The classical baseline, with the refinements that are usual in practice:

1. On a coarse grid, the correlation of 2-D windows is searched over axial lags and a few lines; peak
   hops are corrected from their neighbours; the motion is smoothed.
2. The post-compression frame is warped by the smoothed motion ("companding": Chaturvedi, Insana, Hall,
   "Testing the limitations of 2-D companding for strain imaging using phantoms", IEEE Trans. UFFC
   45(4), 1998), and the remaining motion is searched again within half a wavelength.
3. On the output grid, after one more warp, the remaining motion is measured and added to the warp. It is so
  small that the interpolation of the correlation peak no longer biases it.
4. A straight line is fitted to the displacement in a sliding window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from rtelasto.cpu.classical.common import require_whole_number, residual_motion
from rtelasto.cpu.classical.correlation_peak import lateral_motion, peak_displacement
from rtelasto.cpu.classical.residual_warp import warp_by_residual
from rtelasto.cpu.classical.windowed_correlation import correlation_volumes
from rtelasto.frames.rf import Float32Image
from rtelasto.frames.strain import ResidualMotion, StretchedPair

# Rows of the output grid per row of the coarse one.
COARSE_ROWS = 4
# Smoothing of the coarse motion (standard deviations of a Gaussian, in lines and samples).
SMOOTH_AXIAL = (4.0, 32.0)
SMOOTH_LATERAL = (6.0, 80.0)
# Correlation heights are averaged over these lines and samples before the best line is chosen.
LATERAL_NEIGHBOURHOOD = (5, 64)
# Neighbourhood of a peak that decides whether it hopped (lines and samples).
HOP_NEIGHBOURHOOD = (13, 160)
# Approximate maximum of the correlations of unrelated windows.
CHANCE = 0.4
# Weight of the wider neighbourhood in smoothing, compared with at most 1 for the narrower one.
GAP_WEIGHT = np.float32(1e-3)


def smooth_weighted(
    image: Float32Image, weights: Float32Image, sigma: tuple[float, float]
) -> Float32Image:
    """Smooth by a Gaussian with a weight for each pixel (normalised convolution).

    Where the weights of a neighbourhood are 0, a neighbourhood of four times the size is used instead.
    """
    total = gaussian_filter(weights, sigma, mode="nearest")
    value = gaussian_filter(image * weights, sigma, mode="nearest")
    wide = (4.0 * sigma[0], 4.0 * sigma[1])
    wide_total = gaussian_filter(total, wide, mode="nearest") + np.float32(1e-9)
    wide_value = gaussian_filter(value, wide, mode="nearest") / wide_total
    return (value + GAP_WEIGHT * wide_value) / (total + GAP_WEIGHT)


def echo_coverage(
    pre: Float32Image, post: Float32Image, window: tuple[int, int], stride: int
) -> Float32Image:
    """Return the part of each window in which both frames were recorded: samples that are not exactly 0.

    ``window`` is lines by samples; 1 inside, about 0.5 at the borders of the image.
    """
    recorded = ((pre != 0.0) & (post != 0.0)).astype(np.float32)
    return uniform_filter(recorded, window, mode="constant")[:, ::stride]


def trust(correlation: Float32Image, coverage: Float32Image) -> Float32Image:
    """Return the confidence in a displacement: 0 at the chance level of correlation, 1 at twice that level.

    The chance level is inversely proportional to the square root of the number of correlated samples. Only
    windows that are less than half covered raise it, so that the border of a frame keeps its confidence.
    """
    chance = CHANCE / np.sqrt(np.clip(2.0 * coverage, 1e-6, 1.0))
    return np.clip((correlation - chance) / chance, 0.0, 1.0)


def fit_weights(correlation: Float32Image, trusted: Float32Image) -> Float32Image:
    """Return the weight of a displacement in the strain fit: the inverse of its variance.

    The variance of a time delay is proportional to (1 - ρ²) / ρ² at good signal-to-noise ratios (Walker,
    Trahey, "A fundamental limit on delay estimation using partially correlated speckle signals", IEEE
    Trans. UFFC 42(2), 1995); 0.02 keeps perfect correlation finite.
    """
    square = correlation**2
    return trusted * square / (np.float32(1.02) - square)


def _in_rows(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Convert a neighbourhood of lines and samples into lines and rows of a grid, both odd."""
    return size[0], 2 * round(size[1] / (2 * stride)) + 1


def _sigma_in_rows(sigma: tuple[float, float], stride: int) -> tuple[float, float]:
    return sigma[0], sigma[1] / stride


def _between_rows(coarse: Float32Image, ratio: int, n_depths: int) -> Float32Image:
    """Return an image with ``ratio`` times the rows, interpolated linearly and cut to ``n_depths``."""
    base, part = np.divmod(np.arange(n_depths), ratio)
    after = np.minimum(base + 1, coarse.shape[1] - 1)
    fraction = (part / ratio).astype(np.float32)
    return coarse[:, base] + fraction * (coarse[:, after] - coarse[:, base])


class NccEngine:
    """Windowed normalised cross-correlation with least-squares strain.

    Parameters
    ----------
    window_samples, window_lines
        Full size of the correlation window.
    search_samples, search_lines
        Largest residual motion searched, in samples and in lines.
    strain_window
        Length of the least-squares fit in samples of the input grid (121 at 6.4 samples per
        wavelength are 19 wavelengths of sound, 2.3 mm at 6.25 MHz).
    kalman
        Whether the strain is smoothed across the lines as in the ``am`` engine; off in the plain baseline.
    axial_stride
        Samples of the input grid per row of the output grid.
    coarse_passes
        Number of estimates of the motion on the coarse grid, 4 output rows apart. With 0 the motion is
        measured once, on the output grid: plain NCC with search and cosine peak, without warping.

    Raises
    ------
    RtelastoError
        If a parameter is not a whole number in its range.
    """

    name: str = "ncc"
    samples_per_wavelength: float | None = 6.4

    def __init__(
        self,
        *,
        window_samples: int = 71,
        window_lines: int = 5,
        search_samples: int = 16,
        search_lines: int = 2,
        strain_window: int = 121,
        kalman: bool = False,
        axial_stride: int = 4,
        coarse_passes: int = 2,
    ) -> None:
        require_whole_number("window_samples", window_samples, 3)
        require_whole_number("window_lines", window_lines, 1)
        require_whole_number("search_samples", search_samples, 1)
        require_whole_number("search_lines", search_lines, 0)
        require_whole_number("strain_window", strain_window, 3)
        require_whole_number("axial_stride", axial_stride, 1)
        require_whole_number("coarse_passes", coarse_passes, 0)
        self.window_samples = window_samples
        self.window_lines = window_lines
        self.search_samples = search_samples
        self.search_lines = search_lines
        self.strain_window = strain_window
        self.kalman = kalman
        self.axial_stride = axial_stride
        self.coarse_passes = coarse_passes

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        """Residual displacement and strain of a pair, row k of the output at sample k·axial_stride."""
        displacement, weights, lateral = self.track(pair)
        return residual_motion(
            pair,
            displacement,
            lateral,
            axial_stride=self.axial_stride,
            strain_window=self.strain_window,
            kalman=self.kalman,
            weights=weights,
        )

    def track(self, pair: StretchedPair) -> tuple[Float32Image, Float32Image, Float32Image | None]:
        """Residual displacement in samples, its weight in the strain fit, and lateral motion in lines.

        All on the output grid. Lateral motion comes from the coarse grid, smooth; None without coarse passes.
        """
        pre, post = pair.pre, pair.post
        half_wavelength = max(2, round(pair.samples_per_wavelength / 2))
        coverage = echo_coverage(
            pre, post, (self.window_lines, self.window_samples), self.axial_stride
        )
        if self.coarse_passes == 0:
            correlation = self._correlate(pre, post, self.search_samples, self.axial_stride, 0)[0]
            displacement, height = self._peaks(correlation, self.axial_stride, half_wavelength)
            return displacement, fit_weights(height, trust(height, coverage)), None
        u, v = self._coarse_motion(pre, post, coverage[:, ::COARSE_ROWS], half_wavelength)
        warped = warp_by_residual(post, u, v, stride=COARSE_ROWS * self.axial_stride)
        correlation = self._correlate(pre, warped, half_wavelength, self.axial_stride, 0)[0]
        rest, height = peak_displacement(correlation)
        trusted = trust(height, coverage)
        n_depths = rest.shape[1]
        displacement = _between_rows(u, COARSE_ROWS, n_depths) + rest * trusted
        lateral = _between_rows(v, COARSE_ROWS, n_depths)
        return displacement, fit_weights(height, trusted), lateral

    def _coarse_motion(
        self, pre: Float32Image, post: Float32Image, coverage: Float32Image, half_wavelength: int
    ) -> tuple[Float32Image, Float32Image]:
        """Smoothed motion along (samples) and across the lines (lines), on the coarse grid."""
        stride = COARSE_ROWS * self.axial_stride
        u = v = np.zeros(coverage.shape, np.float32)
        warped, reach = post, self.search_samples
        for again in range(self.coarse_passes):
            if again:
                warped, reach = warp_by_residual(post, u, v, stride=stride), half_wavelength
            volumes = self._correlate(pre, warped, reach, stride, self.search_lines)
            shift = lateral_motion(volumes.max(axis=3), _in_rows(LATERAL_NEIGHBOURHOOD, stride))
            nearest = (np.rint(shift).astype(np.intp) + self.search_lines)[None, :, :, None]
            correlation = np.take_along_axis(volumes, nearest, axis=0)[0]
            rest, height = self._peaks(correlation, stride, half_wavelength)
            weights = (height * trust(height, coverage)) ** 2
            u = smooth_weighted(u + rest, weights, _sigma_in_rows(SMOOTH_AXIAL, stride))
            v = smooth_weighted(v + shift, weights, _sigma_in_rows(SMOOTH_LATERAL, stride))
        return u, v

    def _correlate(
        self, pre: Float32Image, post: Float32Image, reach: int, stride: int, lines: int
    ) -> NDArray[np.float32]:
        # One more lag than is searched, so that a peak at the end of the range has neighbours.
        return correlation_volumes(
            pre,
            post,
            window_samples=self.window_samples,
            window_lines=self.window_lines,
            max_lag=reach + 1,
            stride=stride,
            max_line_shift=lines,
        )

    @staticmethod
    def _peaks(
        correlation: NDArray[np.float32], stride: int, half_wavelength: int
    ) -> tuple[Float32Image, Float32Image]:
        lines, rows = _in_rows(HOP_NEIGHBOURHOOD, stride)
        return peak_displacement(
            correlation,
            hop_distance=half_wavelength,
            neighbour_lines=lines,
            neighbour_depths=rows,
        )
