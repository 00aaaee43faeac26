"""Signed distances of the ten subjects and of the wall, with the paint on their surfaces.

Every solid stands on y = 0 around the y axis, faces +z (car and duck face +x), is about one unit large, and is
evaluated on three coordinate tensors of equal shape. Distances are exact or underestimated: marching never overshoots.
Primitives after Inigo Quilez, "Distance functions" (https://iquilezles.org/articles/distfunctions/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Points = tuple[Tensor, Tensor, Tensor]

MAIN, WHITE, DARK, CREAM, ORANGE, GLASS, LAMP, GREY, DOUGH = range(9)
PAINTS = (
    (0.0, 0.0, 0.0),  # replaced by the colour of the instance
    (0.96, 0.96, 0.94),
    (0.13, 0.12, 0.15),
    (0.95, 0.88, 0.74),
    (1.00, 0.55, 0.10),
    (0.45, 0.68, 0.82),
    (1.00, 0.92, 0.55),
    (0.62, 0.60, 0.60),
    (0.82, 0.60, 0.36),
)
"""Display colours of the materials, in the order of their ids."""


def length2(x: Tensor, y: Tensor) -> Tensor:
    """The length of 2-D vectors."""
    return torch.addcmul(x * x, y, y).sqrt_()


def length3(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """The length of 3-D vectors."""
    return torch.addcmul(x * x, y, y).addcmul_(z, z).sqrt_()


def _ellipsoid(x: Tensor, y: Tensor, z: Tensor, rx: float, ry: float, rz: float) -> Tensor:
    outer = length3(x / rx, y / ry, z / rz)
    slope = length3(x / rx**2, y / ry**2, z / rz**2)
    return outer * (outer - 1.0) / slope.clamp_min_(1e-6)


def _box(x: Tensor, y: Tensor, z: Tensor, half: tuple[float, float, float], rounding: float) -> Tensor:
    qx, qy, qz = (c.abs() - (h - rounding) for c, h in zip((x, y, z), half, strict=True))
    inside = torch.maximum(torch.maximum(qx, qy), qz).clamp_max_(0.0)
    return length3(qx.clamp_min_(0.0), qy.clamp_min_(0.0), qz.clamp_min_(0.0)).add_(inside).sub_(rounding)


def _cylinder(radial: Tensor, along: Tensor, radius: float, half: float) -> Tensor:
    """A capped cylinder from the distance to its axis and the coordinate along it."""
    qr, qa = radial - radius, along.abs() - half
    inside = torch.maximum(qr, qa).clamp_max_(0.0)
    return length2(qr.clamp_min_(0.0), qa.clamp_min_(0.0)).add_(inside)


def _smooth_min(a: Tensor, b: Tensor, width: float) -> Tensor:
    blend = (width - (a - b).abs()).clamp_min_(0.0).div_(width)
    return torch.minimum(a, b) - blend.square_().mul_(width / 4)


def _ball(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (length3(x, y - 0.5, z) - 0.5,)


def _paint_ball(points: Points, paint: Tensor) -> Tensor:
    x, y, _ = points
    # A tilted band: a level one would hide spinning, an upright one would hide rolling.
    return torch.where((x * 0.72 + (y - 0.5) * 0.69).abs() < 0.125, WHITE, paint)


def _cube(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (_box(x, y - 0.42, z, (0.42, 0.42, 0.42), 0.05),)


def _cone(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    side = (length2(x, z) + y * 0.36 - 0.41) * 0.94
    tip = torch.maximum(side, (y - 0.5).abs() - 0.5)
    return tip, _box(x, y - 0.05, z, (0.45, 0.05, 0.45), 0.03)


def _paint_cone(points: Points, paint: Tensor) -> Tensor:
    y = points[1]
    return torch.where((y > 0.42) & (y < 0.64), WHITE, paint)


def _donut(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (length2(length2(x, y - 0.5) - 0.32, z) - 0.18,)


def _paint_donut(points: Points, paint: Tensor) -> Tensor:
    x, y, z = points
    angle = torch.atan2(y - 0.5, x)
    dough = z < 0.035 * torch.sin(7 * angle) - 0.03
    sprinkle = (torch.sin(5 * angle) > 0.86) & ((length2(x, y - 0.5) - 0.32).abs() < 0.07) & ~dough
    return torch.where(dough, DOUGH, torch.where(sprinkle, WHITE, paint))


def _car(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    body = _box(x, y - 0.27, z, (0.64, 0.15, 0.28), 0.08)
    slant = torch.maximum((x + 0.06).abs() + (y - 0.4) * 0.55 - 0.42, y - 0.66).mul_(0.87)
    cabin = torch.maximum(slant, z.abs() - 0.235)
    wheel = _cylinder(length2(x.abs() - 0.38, y - 0.15), z.abs() - 0.25, 0.15, 0.055)
    return body, torch.maximum(cabin, 0.3 - y), wheel


def _paint_car(points: Points, paint: Tensor) -> Tensor:
    x, y, z = points
    glass = (y > 0.445) & (y < 0.595) & (paint == MAIN) & ((x + 0.06).abs() > 0.035)
    lamp = (x > 0.6) & (z.abs() > 0.1) & (y > 0.24)
    hub = (paint == DARK) & (length2(x.abs() - 0.38, y - 0.15) < 0.06)
    return torch.where(glass, GLASS, torch.where(lamp, LAMP, torch.where(hub, WHITE, paint)))


def _house(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    slope = x.abs() * 0.70 + y * 0.71 - 0.667
    walls = torch.maximum(_box(x, y - 0.45, z, (0.40, 0.45, 0.34), 0.01), slope + 0.05)
    roof = torch.maximum(torch.maximum(slope, -slope - 0.11), torch.maximum(z.abs() - 0.42, 0.44 - y))
    chimney = _box(x - 0.25, y - 0.78, z + 0.12, (0.07, 0.17, 0.07), 0.01)
    return walls, roof, chimney


def _paint_house(points: Points, paint: Tensor) -> Tensor:
    x, y, z = points
    wall = paint == MAIN
    front = wall & (z.abs() > 0.31)
    door = front & (x.abs() < 0.1) & (y < 0.34)
    window = front & ((x.abs() - 0.25).abs() < 0.075) & ((y - 0.33).abs() < 0.085)
    window |= wall & (x.abs() > 0.37) & (z.abs() < 0.12) & ((y - 0.32).abs() < 0.1)
    return torch.where(door, DARK, torch.where(window, LAMP, paint))


def _rocket(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    body = torch.maximum(_ellipsoid(x, y - 0.50, z, 0.235, 0.58, 0.235), 0.1 - y)
    ax, az = x.abs(), z.abs()
    far, near = torch.maximum(ax, az), torch.minimum(ax, az)
    fin = _box(far - 0.25, y - 0.19 + (far - 0.25) * 0.5, near, (0.15, 0.14, 0.045), 0.02) * 0.85
    return body, fin


def _paint_rocket(points: Points, paint: Tensor) -> Tensor:
    x, y, z = points
    reach = length2(x, y - 0.60)
    ring = (reach < 0.135) & (z > 0)
    painted = torch.where((y > 0.83) & (paint == MAIN), WHITE, torch.where(ring, WHITE, paint))
    return torch.where(ring & (reach < 0.09), GLASS, painted)


def _duck(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    body = _ellipsoid(x + 0.07, y - 0.28, z, 0.44, 0.29, 0.31)
    tail = _ellipsoid(x + 0.46, y - 0.44, z, 0.14, 0.11, 0.12)
    head = length3(x - 0.20, y - 0.68, z) - 0.235
    beak = _ellipsoid(x - 0.47, y - 0.64, z, 0.15, 0.06, 0.11)
    eye = length3(x - 0.345, y - 0.755, z.abs() - 0.14) - 0.055
    return _smooth_min(_smooth_min(body, tail, 0.1), head, 0.12), beak, eye


def _snowman(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    radial = length2(x, z)
    body = torch.minimum(length2(radial, y - 0.27) - 0.31, length2(radial, y - 0.60) - 0.235)
    body = torch.minimum(body, length2(radial, y - 0.85) - 0.18)
    hat = torch.minimum(_cylinder(radial, y - 0.96, 0.22, 0.022), _cylinder(radial, y - 1.06, 0.145, 0.09))
    nose = _ellipsoid(x, y - 0.84, z - 0.23, 0.05, 0.05, 0.15)
    scarf = length2(radial - 0.165, y - 0.73) - 0.05
    return body, hat, nose, scarf


def _paint_snowman(points: Points, paint: Tensor) -> Tensor:
    x, y, z = points
    height = torch.where(y > 0.48, (y - 0.61).abs(), (y - 0.36).abs())
    button = (length2(x, height) < 0.055) & (z > 0.1)
    eye = (length2(x.abs() - 0.075, y - 0.905) < 0.036) & (z > 0.05)
    return torch.where((button | eye) & (paint == MAIN), DARK, paint)


_CAP_DOTS = (
    (0.0, 0.9, 0.06),
    (0.3, 0.74, 0.24),
    (-0.28, 0.72, 0.28),
    (0.02, 0.62, 0.45),
    (-0.42, 0.62, -0.1),
    (0.42, 0.66, -0.18),
    (-0.1, 0.72, -0.38),
    (0.25, 0.6, -0.42),
    (-0.36, 0.58, -0.32),
)


def _mushroom(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    radial = length2(x, z)
    cap = torch.maximum(_ellipsoid(x, y - 0.46, z, 0.53, 0.44, 0.53), 0.44 - y)
    stem = torch.maximum((radial - 0.21 + y * 0.12) * 0.98, (y - 0.24).abs() - 0.24)
    return cap, stem


def _paint_mushroom(points: Points, paint: Tensor) -> Tensor:
    x, y, z = points
    dot = torch.zeros_like(x, dtype=torch.bool)
    for cx, cy, cz in _CAP_DOTS:
        dot |= length3(x - cx, y - cy, z - cz) < 0.105
    gills = (y < 0.455) & (paint == MAIN)
    return torch.where(gills, CREAM, torch.where(dot & (paint == MAIN), WHITE, paint))


def _wall(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (_box(x, y - 0.75, z, (0.12, 0.75, 0.07), 0.02),)


@dataclass(frozen=True)
class Solid:
    """A shape: its parts, what they are painted with, and the bounds that frame and cull it.

    `height` is that of its top, `reach` the largest distance from the y axis, `half_width` that seen from the front.
    The bounding sphere of `radius` lies around (0, `centre`, 0).
    """

    parts: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]
    materials: tuple[int, ...]
    height: float
    reach: float
    half_width: float
    radius: float
    centre: float
    paint: Callable[[Points, Tensor], Tensor] | None = None

    def distance(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The signed distance to the nearest part."""
        parts = self.parts(x, y, z)
        nearest = parts[0]
        for part in parts[1:]:
            nearest = torch.minimum(nearest, part)
        return nearest

    def material(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The material id (int64) of points on the surface."""
        parts = self.parts(x, y, z)
        paint = torch.full_like(x, self.materials[0], dtype=torch.int64)
        nearest = parts[0]
        for part, material in zip(parts[1:], self.materials[1:], strict=True):
            paint = torch.where(part < nearest, material, paint)
            nearest = torch.minimum(nearest, part)
        return paint if self.paint is None else self.paint((x, y, z), paint)


SOLIDS: dict[str, Solid] = {
    "ball": Solid(_ball, (MAIN,), 1.0, 0.5, 0.5, 0.51, 0.5, _paint_ball),
    "cube": Solid(_cube, (MAIN,), 0.84, 0.57, 0.42, 0.71, 0.42),
    "cone": Solid(_cone, (MAIN, MAIN), 1.0, 0.62, 0.45, 0.76, 0.39, _paint_cone),
    "donut": Solid(_donut, (MAIN,), 1.0, 0.5, 0.5, 0.51, 0.5, _paint_donut),
    "car": Solid(_car, (MAIN, MAIN, DARK), 0.66, 0.67, 0.64, 0.74, 0.31, _paint_car),
    "house": Solid(_house, (MAIN, DARK, WHITE), 0.95, 0.64, 0.48, 0.72, 0.45, _paint_house),
    "rocket": Solid(_rocket, (MAIN, WHITE), 1.08, 0.42, 0.41, 0.63, 0.52, _paint_rocket),
    "duck": Solid(_duck, (MAIN, ORANGE, DARK), 0.92, 0.62, 0.62, 0.73, 0.42),
    "snowman": Solid(_snowman, (MAIN, DARK, ORANGE, WHITE), 1.15, 0.39, 0.31, 0.65, 0.54, _paint_snowman),
    "mushroom": Solid(_mushroom, (MAIN, CREAM), 0.90, 0.53, 0.53, 0.62, 0.42, _paint_mushroom),
    "wall": Solid(_wall, (GREY,), 1.5, 0.14, 0.12, 0.78, 0.75),
}
"""The ten subjects and the occluder."""
