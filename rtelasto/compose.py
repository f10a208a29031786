"""Global elongation and residual motion put together to the motion of the tissue."""

from __future__ import annotations

import numpy as np

from rtelasto.domain import Elongation, Float32Image, ResidualMotion


def compose(elongation: Elongation, residual: ResidualMotion) -> tuple[Float32Image, Float32Image]:
    """Total axial displacement and strain at pre-compression points.

    The post-compression frame was read at x + v, z + u_g before the engine saw it, so
    pre(x, z) = post(x + v, z + r + u_g(x, z + r)): the global part is taken at the depth to which the
    residual leads, u = r + u_g(x, z + r), and by the chain rule ∂u/∂z = r' + u_g' (1 + r').

    Parameters
    ----------
    elongation
        The global motion that was taken out.
    residual
        The motion r that an engine found in the stretched pair, and its strain r'.

    Returns
    -------
    axial_displacement_m, axial_strain : float32 (n_lines, n_depths) of ``residual.grid``
    """
    grid = residual.grid
    lateral_m = grid.lateral_m[:, None]
    global_strain = np.asarray(elongation.axial_strain(lateral_m), dtype=np.float32)
    at_rest = np.asarray(elongation.axial_displacement_m(lateral_m, grid.depth_m), dtype=np.float32)
    r = residual.axial_displacement_m
    displacement = at_rest + (np.float32(1.0) + global_strain) * r
    strain = residual.axial_strain * (np.float32(1.0) + global_strain) + global_strain
    return displacement, strain
