"""What lies around the stage: the ground of each environment, and rocks or bushes on it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sora_core.data.worlds.palette import mix

_BOULDERS = {
    "mars": ((0.46, 0.22, 0.14), 0.62),
    "meadow": ((0.16, 0.42, 0.14), 1.0),
}
_BOULDER_PLACES = (
    (-2.6, -3.2, 0.5),
    (2.9, -4.6, 0.75),
    (-4.6, -6.5, 1.0),
    (1.2, -7.8, 0.6),
    (5.5, -5.0, 0.6),
    (-5.5, 1.0, 0.7),
    (5.8, 0.5, 0.7),
    (-7.5, -3.0, 1.0),
    (0.2, 9.0, 0.8),
)


def boulders(
    environment: str, origin: Tensor, direction: Tensor, light: Tensor, colours: dict[str, Tensor]
) -> tuple[Tensor, Tensor] | None:
    """Rocks on Mars and bushes in the meadow, half sunk spheres around the stage that show parallax.

    Returns:
        Colour (3, r) and distance (r), infinite where there is none; or None for environments without.
    """
    if environment not in _BOULDERS:
        return None
    paint, height = _BOULDERS[environment]
    places = direction.new_tensor(_BOULDER_PLACES)
    radius = places[:, 2:]
    centres = torch.stack((places[:, 0], places[:, 2] * (height - 0.62), places[:, 1]), 1)
    # |o + t d - c| = r, for all spheres at once; the camera is outside all of them.
    away = origin.square().sum(0) - 2.0 * (centres @ origin) + centres.square().sum(1, keepdim=True)
    along = centres @ direction - (origin * direction).sum(0)
    gap = along * along - away + radius * radius
    far = torch.where((gap > 0) & (along > 0), along - gap.clamp_min(0.0).sqrt(), math.inf)
    distance, index = far.min(0)
    met = distance < math.inf
    point = origin + direction * torch.where(met, distance, 0.0)
    normal = (point - centres.T[:, index]) / radius[index, 0]
    lit = (normal * light).sum(0).clamp_min_(0.0)
    shade = colours["ambient"] * (0.55 + 0.45 * normal[1]) + colours["sun"] * lit + colours["fill_night_size"][0] * 0.15
    albedo = direction.new_tensor(paint).square()[:, None]
    return albedo * shade * (0.45 + 0.55 * (point[1] / 0.25).clamp(0, 1)), distance


def ground(
    environment: str,
    point: Tensor,
    distance: Tensor,
    direction: Tensor,
    shift: Tensor,
    waves: Tensor,
    disk: Tensor,
    colours: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """The ground's paint and its own light.

    Args:
        point: (3, r) where the rays meet y = 0; distance: (r) along them; direction: (3, r).
        shift: (2, r) or (2, 1) displaces the texture; waves: (3, r) or (3, 1) phases of the sea at this time.
        disk: (3, r) or (3, 1) direction of the sun or moon in the sky.

    Returns:
        Albedo (3, r) that light and shadow act on, and emission (3, r) or (3, 1) that they do not.
    """
    x, z = point[0] + shift[0], point[2] + shift[1]
    a, b = colours["ground_a"], colours["ground_b"]
    none = torch.zeros_like(a[:, :1])
    if environment == "studio":
        fade = (1.0 - distance / 14.0).clamp_(0, 1)
        tile = torch.remainder((x / 0.9).floor() + (z / 0.9).floor(), 2.0)
        return mix(a, b, 0.5 + (tile - 0.5) * fade), none
    if environment == "neon_city":
        offset = torch.minimum(_to_line(x, 1.8), _to_line(z, 1.8))
        line = ((0.10 - offset) / 0.03).clamp_(0, 1)
        glow = torch.maximum(line, (1.0 - offset / 0.5).clamp_(0, 1).square_() * 0.22)
        glow = glow * (1.0 - distance / 13.0).clamp_(0, 1)
        neon = a.new_tensor((0.95, 0.10, 0.80))[:, None]
        return a.expand_as(point), neon * glow
    if environment == "sea":
        return _sea(x, z, distance, direction, waves, disk, colours)
    if environment == "desert":
        ripple = (z * 4.5 + (x * 0.9).sin() * 1.2 + x * 1.2).sin()
        ripple = ripple * (1.0 - distance / 8.0).clamp_(0, 1) * 0.5 + 0.5 * (x * 0.5 + z * 0.8).sin()
        return mix(a, b, 0.5 + 0.5 * ripple), none
    scale = {"meadow": 1.3, "snow": 0.8, "mars": 1.1}[environment]
    patch = (x * scale).sin() * (z * scale * 1.2 + 0.7 * (x * 0.6).sin()).sin()
    patch = patch + 0.4 * (x * 2.9 + z * 1.7).sin() * (1.0 - distance / 9.0).clamp_(0, 1)
    return mix(a, b, (0.5 + 0.5 * patch).clamp_(0, 1)), none


def _to_line(x: Tensor, spacing: float) -> Tensor:
    """The distance to the nearest of the lines at multiples of `spacing`."""
    return (torch.remainder(x / spacing + 0.5, 1.0) - 0.5).abs_().mul_(spacing)


def _sea(
    x: Tensor,
    z: Tensor,
    distance: Tensor,
    direction: Tensor,
    waves: Tensor,
    disk: Tensor,
    colours: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    calm = (1.0 - distance / 18.0).clamp_(0.12, 1)
    first = (z * 3.4 + x * 0.6 + waves[0]).sin()
    second = (z * 2.1 - x * 1.1 + waves[1]).sin()
    third = (x * 2.2 + z * 4.6 + waves[2]).sin()
    slope = (0.42 * first + 0.34 * second + 0.24 * third) * calm
    mirror = (1.0 + direction[1]).clamp_(0, 1).square_().square_()  # 1 at the horizon, where water mirrors the sky
    night = colours["fill_night_size"][1]
    # Light from within keeps the water blue under a red sky.
    reflected = colours["sky_middle"] * (mirror * 0.20 + 0.02) + colours["ground_a"] * (0.16 - 0.12 * night)
    # The road of light under a low sun or moon; a high sun leaves none in view.
    flat = direction[0].square().addcmul_(direction[2], direction[2]).rsqrt_()
    towards = (direction[0] * disk[0] + direction[2] * disk[2]) * flat / (disk[0].square() + disk[2].square()).sqrt()
    road = ((towards - 0.978) / 0.022).clamp_(0, 1) * (slope * 1.6 + 0.35).clamp_(0, 1) * (disk[1] < 0.5)
    reflected = reflected + colours["disk"] * (road * (0.6 - 0.3 * night))
    return mix(colours["ground_b"], colours["ground_a"], (0.5 + 0.55 * slope).clamp_(0, 1)), reflected


def haze_distance(environment: str) -> float:
    """How far one sees before the ground fades into the horizon: shorter where no hills hide the horizon."""
    return 15.0 if environment in ("sea", "studio", "neon_city") else 32.0
