"""Walking along rays by signed distance: first contact, surface normals and soft shadows of one solid.

Sphere tracing: Hart, "Sphere tracing", The Visual Computer 1996; soft shadows: Quilez,
https://iquilezles.org/articles/rmshadows/. Everything is in the solid's own coordinates; points are (3, p).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sora_core.data.worlds.sdf import Solid

_STEPS = 28
_TOUCH = 0.004
_SHADOW_STEPS = 8


def march(solid: Solid, origin: Tensor, heading: Tensor, limit: Tensor) -> Tensor:
    """The distance (p) at which rays touch the solid, infinite where they do not."""
    ox, oy, oz = origin
    oy_c = oy - solid.centre
    along = -(ox * heading[0] + oy_c * heading[1] + oz * heading[2])
    gap = ox * ox + oy_c * oy_c + oz * oz - along * along
    half = (solid.radius**2 - gap).clamp_min_(0.0).sqrt_()
    t, end = (along - half).clamp_min_(0.0), torch.minimum(along + half, limit)
    result = torch.full_like(t, math.inf)
    index = torch.arange(len(t))
    dx, dy, dz = heading
    for step in range(_STEPS):
        gap = solid.distance(ox + dx * t, oy + dy * t, oz + dz * t)
        t = t + gap
        if step % 2 == 0 and step < _STEPS - 1:
            continue
        going = t <= end
        touched = going & (gap < _TOUCH)
        result[index[touched]] = t[touched]
        keep = (going & (gap >= _TOUCH)).nonzero().squeeze(1)
        if len(keep) == 0:
            return result
        packed = torch.stack((ox, oy, oz, dx, dy, dz, t, end, gap)).index_select(1, keep)
        ox, oy, oz, dx, dy, dz, t, end, gap = packed
        index = index[keep]
    # What is left creeps along an edge: close enough to call it touched.
    close = gap < 0.02
    result[index[close]] = t[close]
    return result


_TETRAHEDRON = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))


def normals(solid: Solid, points: Tensor) -> Tensor:
    """Unit normals (3, p), by differences along the corners of a tetrahedron."""
    step = 0.012
    corners = points.new_tensor(_TETRAHEDRON)
    spread = (points[:, None, :] + step * corners.T[:, :, None]).flatten(1)
    values = solid.distance(*spread).view(4, -1)
    return torch.nn.functional.normalize(corners.T @ values, dim=0)


def soft_shadow(solid: Solid, origin: Tensor, heading: Tensor) -> tuple[Tensor, Tensor]:
    """Light that passes the solid (p) along the heading, and openness (p) of points beside it."""
    ox, oy, oz = origin
    dx, dy, dz = heading
    beside = solid.distance(ox, oy, oz)
    open_sky = 0.35 + 0.65 * (beside / 0.35).clamp(0, 1)
    along = (-(ox * dx + (oy - solid.centre) * dy + oz * dz)).clamp_min_(0.0)
    t = torch.maximum(along - solid.radius * 1.1, beside.clamp_min(0.03))
    light = torch.ones_like(t)
    for _ in range(_SHADOW_STEPS):
        gap = solid.distance(ox + dx * t, oy + dy * t, oz + dz * t)
        light = torch.minimum(light, 9.0 * gap / t.clamp_min(0.3))
        t = t + gap.clamp_min_(0.06)
    # Past the solid nothing more can darken the ray, so no test for the end is needed.
    return light.clamp_(0, 1), open_sky
