"""Tissues: stiffness maps of inclusions and layers in a background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError

PUBLISHED_YOUNG_KPA = (8.0, 14.0, 45.0, 80.0)
"""Inclusions of the published training set, in a background of 25 kPa (Wu et al., MICCAI 2018)."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An ellipse with a different stiffness.

    Parameters
    ----------
    x_m, z_m
        Centre, from the image centre and from the probe face.
    semi_x_m, semi_z_m
        Semi-axes along the ellipse's own axes.
    angle_rad
        Rotation of those axes, from x towards z.
    young_kpa
        Young's modulus.
    edge_m
        Width of the transition to the modulus of the surroundings; 0 is a sharp edge.
    echo_gain_db
        Backscatter relative to the background.
    """

    x_m: float
    z_m: float
    semi_x_m: float
    semi_z_m: float
    angle_rad: float = 0.0
    young_kpa: float = 45.0
    edge_m: float = 0.0
    echo_gain_db: float = 0.0

    def __post_init__(self) -> None:
        _check_positive(semi_x_m=self.semi_x_m, semi_z_m=self.semi_z_m, young_kpa=self.young_kpa)

    def share(
        self, x_m: NDArray[np.floating], z_m: NDArray[np.floating], *, least_edge_m: float = 0.0
    ) -> NDArray[np.float64]:
        """Return 1 inside, 0 outside, with a smooth step across the edge."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        along = (cos * (x_m - self.x_m) + sin * (z_m - self.z_m)) / self.semi_x_m
        across = (-sin * (x_m - self.x_m) + cos * (z_m - self.z_m)) / self.semi_z_m
        radius = np.hypot(along, across)
        distance_m = (1.0 - radius) * min(self.semi_x_m, self.semi_z_m)
        return _smooth_step(distance_m, max(self.edge_m, least_edge_m))


@dataclass(frozen=True, slots=True)
class Layer:
    """Everything below the line z = top_m + slope·x down to the next layer."""

    top_m: float
    young_kpa: float
    slope: float = 0.0
    edge_m: float = 0.0
    echo_gain_db: float = 0.0

    def __post_init__(self) -> None:
        _check_positive(young_kpa=self.young_kpa)

    def share(
        self, x_m: NDArray[np.floating], z_m: NDArray[np.floating], *, least_edge_m: float = 0.0
    ) -> NDArray[np.float64]:
        """Return 1 below the line, 0 above."""
        edge_m = max(self.edge_m, least_edge_m)
        return _smooth_step(z_m - self.top_m - self.slope * x_m, edge_m)


@dataclass(frozen=True, slots=True)
class Tissue:
    """A block |x| <= width/2, 0 <= z <= depth; later layers and inclusions cover earlier ones."""

    width_m: float = 0.030
    depth_m: float = 0.050
    background_kpa: float = 25.0
    poisson: float = 0.49
    layers: tuple[Layer, ...] = ()
    inclusions: tuple[Inclusion, ...] = ()

    def __post_init__(self) -> None:
        _check_positive(
            width_m=self.width_m, depth_m=self.depth_m, background_kpa=self.background_kpa
        )
        if not 0.0 <= self.poisson < 0.5:
            raise RtelastoError(f"poisson must lie in 0…0.5 (0.5 excluded), got {self.poisson:g}")

    @property
    def _parts(self) -> tuple[Layer | Inclusion, ...]:
        return (*self.layers, *self.inclusions)

    def young_kpa(
        self, x_m: NDArray[np.floating], z_m: NDArray[np.floating], *, least_edge_m: float = 0.0
    ) -> NDArray[np.float64]:
        """Return Young's modulus at broadcastable points; edges are blended on a logarithmic scale."""
        x, z = np.broadcast_arrays(x_m, z_m)
        log_young = np.full(x.shape, math.log(self.background_kpa))
        for part in self._parts:
            log_young += part.share(x, z, least_edge_m=least_edge_m) * (
                math.log(part.young_kpa) - log_young
            )
        return np.exp(log_young)

    def echo_gain(
        self, x_m: NDArray[np.floating], z_m: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return the relative echo amplitude at points, 1 in the background."""
        x, z = np.broadcast_arrays(x_m, z_m)
        gain_db = np.zeros(x.shape)
        for part in self._parts:
            gain_db += part.share(x, z) * (part.echo_gain_db - gain_db)
        return 10.0 ** (gain_db / 20.0)


def published_tissue(rng: np.random.Generator) -> Tissue:
    """Draw a tissue of the published kind: 3 × 5 cm, 25 kPa, one random elliptic inclusion."""
    semi_x_m, semi_z_m = (float(semi) for semi in rng.uniform(2.0e-3, 8.0e-3, 2))
    reach = max(semi_x_m, semi_z_m)
    inclusion = Inclusion(
        x_m=rng.uniform(-1.0, 1.0) * (13e-3 - reach),
        z_m=rng.uniform(3e-3 + reach, 47e-3 - reach),
        semi_x_m=semi_x_m,
        semi_z_m=semi_z_m,
        angle_rad=rng.uniform(0.0, math.pi),
        young_kpa=float(rng.choice(PUBLISHED_YOUNG_KPA)),
    )
    return Tissue(inclusions=(inclusion,))


def random_tissue(
    rng: np.random.Generator, *, width_m: float = 0.034, depth_m: float = 0.052
) -> Tissue:
    """Draw layers and up to five inclusions of random stiffness (a factor 1/5 to 8), edge and echo."""
    background_kpa = math.exp(rng.uniform(math.log(5.0), math.log(60.0)))

    def look() -> dict[str, float]:
        """Draw stiffness, edge and echo (often that of the background) of a layer or an inclusion."""
        return {
            "young_kpa": background_kpa * math.exp(rng.uniform(math.log(0.2), math.log(8.0))),
            "edge_m": float(rng.choice([0.0, rng.uniform(0.0, 3e-3)])),
            "echo_gain_db": float(rng.choice([0.0, rng.uniform(-12.0, 6.0)])),
        }

    layers: list[Layer] = []
    if rng.random() < 0.4:
        tops = np.sort(rng.uniform(0.05, 0.95, rng.integers(1, 4))) * depth_m
        layers = [Layer(top_m=float(t), slope=rng.uniform(-0.3, 0.3), **look()) for t in tops]
    inclusions = []
    for _ in range(rng.choice([0, 1, 2, 3, 5], p=[0.1, 0.4, 0.25, 0.15, 0.1])):
        semi_m = math.exp(rng.uniform(math.log(1e-3), math.log(10e-3)))
        inclusions.append(
            Inclusion(
                x_m=rng.uniform(-0.5, 0.5) * width_m,
                z_m=rng.uniform(0.04, 0.96) * depth_m,
                semi_x_m=semi_m,
                semi_z_m=semi_m * math.exp(rng.uniform(-0.9, 0.9)),
                angle_rad=rng.uniform(0.0, math.pi),
                **look(),
            )
        )
    return Tissue(
        width_m=width_m,
        depth_m=depth_m,
        background_kpa=background_kpa,
        poisson=rng.uniform(0.45, 0.495),
        layers=tuple(layers),
        inclusions=tuple(inclusions),
    )


def _smooth_step(distance_m: NDArray[np.floating], edge_m: float) -> NDArray[np.float64]:
    if edge_m <= 0.0:
        return (distance_m > 0.0).astype(np.float64)
    t = np.clip(distance_m / edge_m + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0.0):
            raise RtelastoError(f"{name} must be a positive number, got {value!r}")
