"""Finite elements: the motion of a tissue under the probe.

Plane strain, linear elasticity, biquadratic quadrilaterals (scikit-fem). The problem is linear, so
a tissue is factorised once and solved for a few unit loads; any press is a sum of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.tissue import Tissue


@dataclass(frozen=True, slots=True)
class Boundary:
    """The boundary conditions of the block.

    Parameters
    ----------
    top
        ``"slip"``: the skin slides freely under the probe (gel); ``"bonded"``: it sticks.
    bottom
        ``"slip"``: lies on a smooth support; ``"fixed"``: attached to bone.
    probe_width_m
        Width of the probe face; the skin beyond it is free. None: the whole top is pressed.
    flank_m
        Tissue on either side beyond ``Tissue.width_m``, meshed coarsely.
    """

    top: Literal["slip", "bonded"] = "slip"
    bottom: Literal["slip", "fixed"] = "slip"
    probe_width_m: float | None = None
    flank_m: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class TissueMotion:
    """Unit motions of one tissue in the reference frame of the probe.

    ``push`` is the response to an applied strain of +1 (the face recedes by one tissue depth),
    ``tilt`` and ``bend`` to a face displacement that varies as 2x/width and (2x/width)² − 1/3 times
    that, and ``shear`` to a sideways motion of a bonded face by one tissue depth (zero where the
    top slips).
    """

    tissue: Tissue
    push: DisplacementField
    tilt: DisplacementField
    bend: DisplacementField
    shear: DisplacementField

    def field(
        self,
        *,
        applied_strain: float,
        tilt: float = 0.0,
        bend: float = 0.0,
        shear: float = 0.0,
    ) -> DisplacementField:
        """Return the motion for an applied axial strain, negative in compression.

        ``tilt``, ``bend`` and ``shear`` are relative to it: with tilt = 0.3 one edge of the tissue
        is pressed 1.3 times, the other 0.7 times as much.
        """
        axial = self.push.axial_m + tilt * self.tilt.axial_m + bend * self.bend.axial_m
        lateral = self.push.lateral_m + tilt * self.tilt.lateral_m + bend * self.bend.lateral_m
        axial = applied_strain * (axial + shear * self.shear.axial_m)
        lateral = applied_strain * (lateral + shear * self.shear.lateral_m)
        f = self.push
        return DisplacementField(axial, lateral, f.x0_m, f.z0_m, f.dx_m, f.dz_m)


def solve(
    tissue: Tissue, boundary: Boundary | None = None, *, element_m: float = 0.6e-3
) -> TissueMotion:
    """Compute the unit motions of a tissue, in about 1 s for 3 × 5 cm at the default element size.

    Raises
    ------
    RtelastoError
        If ``element_m`` leaves fewer than four elements across the block.
    MissingExtraError
        If scikit-fem is not installed.
    """
    try:
        import skfem
        from skfem.helpers import ddot, div, sym_grad
    except ImportError as error:
        raise MissingExtraError("the finite-element simulator", "sim") from error
    from scipy.sparse.linalg import splu

    boundary = boundary or Boundary()
    n_x, n_z = round(tissue.width_m / element_m), round(tissue.depth_m / element_m)
    if min(n_x, n_z) < 4:
        raise RtelastoError(
            f"element_m {element_m:g} is too coarse for a tissue of "
            f"{tissue.width_m:g} x {tissue.depth_m:g} m: give at most a quarter of either"
        )
    core = np.linspace(-tissue.width_m / 2, tissue.width_m / 2, n_x + 1)
    flank = _graded(tissue.width_m / n_x, boundary.flank_m)
    mesh = skfem.MeshQuad.init_tensor(
        np.concatenate([core[0] - flank[::-1], core, core[-1] + flank]),
        np.linspace(0.0, tissue.depth_m, n_z + 1),
    )
    # Order 4 integrates the stiffness of a homogeneous element exactly, and samples the modulus at 3 x 3
    # points in elements that contain the edge of an inclusion.
    basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementQuad2()), intorder=4)

    @skfem.BilinearForm
    def stiffness(u, v, w):  # type: ignore[no-untyped-def]
        return w.first * div(u) * div(v) + 2.0 * w.second * ddot(sym_grad(u), sym_grad(v))

    x, z = np.asarray(basis.global_coordinates())
    poisson = tissue.poisson
    # An edge sharper than an element would follow the element borders, and the strain would oscillate.
    young = tissue.young_kpa(x, z, least_edge_m=element_m)
    matrix = stiffness.assemble(
        basis,
        first=young * poisson / ((1.0 + poisson) * (1.0 - 2.0 * poisson)),
        second=young / (2.0 * (1.0 + poisson)),
    ).tocsc()

    node_x, node_z = basis.doflocs
    n_dofs = node_x.size
    # Biquadratic elements have both components at every node, and skfem numbers them x, z, x, z, …
    lateral_dof = np.zeros(n_dofs, bool)
    for dofs in (basis.nodal_dofs, basis.facet_dofs, basis.interior_dofs):
        lateral_dof[dofs[0]] = True
    tiny = 1e-6 * element_m
    half_probe_m = (boundary.probe_width_m or math.inf) / 2
    at_top = (node_z < tiny) & (np.abs(node_x) <= half_probe_m + tiny)
    at_bottom = node_z > tissue.depth_m - tiny
    held = (at_top | at_bottom) & ~lateral_dof
    if boundary.top == "bonded":
        held |= at_top & lateral_dof
    if boundary.bottom == "fixed":
        held |= at_bottom & lateral_dof
    if boundary.top == boundary.bottom == "slip":
        # Nothing else prevents the block from sliding, so the middle of the bottom is fixed.
        held |= lateral_dof & at_bottom & (np.abs(node_x) <= np.abs(node_x[at_bottom]).min() + tiny)

    across = 2.0 * node_x / tissue.width_m
    face = at_top & ~lateral_dof
    # Depth of the probe face in the reference frame of the tissue, for an applied strain of +1.
    loads = np.zeros((n_dofs, 4))
    loads[face, 0] = -tissue.depth_m
    loads[face, 1] = -tissue.depth_m * across[face]
    loads[face, 2] = -tissue.depth_m * (across[face] ** 2 - 1.0 / 3.0)
    if boundary.top == "bonded":
        loads[at_top & lateral_dof, 3] = -tissue.depth_m

    free = np.flatnonzero(~held)
    rows = matrix[free]
    factors = splu(
        rows[:, free].tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    loads[free] = factors.solve(-(rows[:, np.flatnonzero(held)] @ loads[held]))

    # The nodes of biquadratic elements are themselves a regular grid of half the element size.
    in_core = np.abs(node_x) <= tissue.width_m / 2 + tiny
    shape = (2 * n_x + 1, 2 * n_z + 1)

    def on_nodes(values: NDArray[np.float64], component: NDArray[np.bool_]) -> NDArray[np.float64]:
        dofs = np.flatnonzero(component & in_core)
        i = np.rint((node_x[dofs] / tissue.width_m + 0.5) * (shape[0] - 1)).astype(int)
        k = np.rint(node_z[dofs] / tissue.depth_m * (shape[1] - 1)).astype(int)
        image = np.full(shape, np.nan)
        image[i, k] = values[dofs]
        return image

    modes = [
        DisplacementField(
            on_nodes(loads[:, mode], ~lateral_dof),
            on_nodes(loads[:, mode], lateral_dof),
            -tissue.width_m / 2,
            0.0,
            tissue.width_m / (2 * n_x),
            tissue.depth_m / (2 * n_z),
        )
        for mode in range(4)
    ]
    # From the reference frame of the tissue to that of the probe: subtract the rigid motion of the probe
    # (translation, and rotation about the middle of its face, small angle), which follows the skin sideways.
    turn = -2.0 * tissue.depth_m / tissue.width_m
    push, tilt, bend, shear = (
        mode.plus_affine(lateral_offset_m=-mode.lateral_m[n_x, 0]) for mode in modes
    )
    return TissueMotion(
        tissue,
        push=push.plus_affine(axial_offset_m=tissue.depth_m),
        tilt=tilt.plus_affine(axial_tilt=-turn, lateral_shear=turn),
        bend=bend,
        shear=shear,
    )


def _graded(first_m: float, reach_m: float) -> NDArray[np.float64]:
    """Return element edges beyond the core, outwards: each element is 1.4 times its inner neighbour."""
    if reach_m <= 0.0:
        return np.empty(0)
    n = max(1, math.ceil(math.log1p(reach_m / first_m * 0.4) / math.log(1.4)))
    edges = np.cumsum(first_m * 1.4 ** np.arange(1, n + 1))
    return edges * (reach_m / edges[-1])
