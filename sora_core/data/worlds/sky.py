"""What lies behind the stage: the sky with sun, moon and stars, and the hills or buildings on the horizon."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sora_core.data.worlds.palette import mix

HILL_RADIUS = (22.0, 13.0)
"""Distances of the far and the near layer of hills (or of the buildings) from the middle of the world."""


def _star_field() -> Tensor:
    """Directions (70, 3) of the stars: few, spread over all headings below 50 degrees of elevation."""
    generator = torch.Generator().manual_seed(5)
    heading = torch.rand(70, generator=generator) * 2 * math.pi
    rise = 0.08 + 0.8 * torch.rand(70, generator=generator) ** 1.5
    return torch.stack((rise.cos() * heading.sin(), rise.sin(), rise.cos() * heading.cos()), 1)


_STARS = _star_field()


def sky(direction: Tensor, disk_direction: Tensor, colours: dict[str, Tensor]) -> Tensor:
    """The linear colour (3, r) of the sky along unit directions (3, r). Colours are (3, r) or (3, 1)."""
    y = direction[1]
    lower, upper = (y / 0.14).clamp_(0, 1), ((y - 0.14) / 0.4).clamp_(0, 1)
    colour = mix(colours["sky_low"], colours["sky_middle"], lower)
    colour = mix(colour, colours["sky_high"], upper)
    _, night, size = colours["fill_night_size"]
    towards = (direction * disk_direction).sum(0)
    angle = (2.0 - 2.0 * towards).clamp_min_(0.0).sqrt_()
    glow = (1.0 - angle / (size * 5)).clamp_(0, 1).square_() * (0.35 - 0.17 * night)
    disk = ((size - angle) / 0.012 + 0.5).clamp_(0, 1)
    colour = mix(colour, colours["disk"], torch.maximum(glow, disk))
    if bool((night > 0).any()):
        nearest = (_STARS.to(direction) @ direction).amax(0)
        star = ((nearest - math.cos(0.017)) / (1 - math.cos(0.009))).clamp_(0, 1)
        colour = torch.maximum(colour, star * night * 0.85 * (disk <= 0))
    return colour


def _hill_height(environment: str, layer: int, cx: Tensor, cz: Tensor, phase: Tensor) -> Tensor:
    """Height over radius of a hill layer in direction (cx, cz) of the compass."""
    a, b = phase[2 * layer], phase[2 * layer + 1]
    if environment in ("snow", "mars"):
        f, g = ((9.0, 7.0), (6.0, 11.0))[layer]
        ridge = ((f * cx + a).sin() + 0.8 * (g * cz + b + cx * 3).sin()).abs()
        if environment == "mars":
            ridge = (ridge * 1.6).clamp(0.3, 1.15)
        return (0.035, 0.012)[layer] + (0.105, 0.05)[layer] * (1.25 - ridge).clamp_min(0.0)
    f, g = ((4.0, 3.0), (5.0, 4.0))[layer]
    wave = (f * cx + a).sin() + (g * cz + b + 1.5 * cx).sin()
    if environment == "desert":
        return (0.05, 0.022)[layer] + (0.022, 0.016)[layer] * (1.0 - wave.abs())
    return (0.075, 0.03)[layer] + (0.028, 0.016)[layer] * wave


def _cylinder_exit(origin: Tensor, direction: Tensor, radius: float) -> Tensor:
    """The distance along rays from inside a cylinder around the y axis to its wall."""
    a = direction[0].square().addcmul_(direction[2], direction[2]).clamp_min_(1e-4)
    b = origin[0] * direction[0] + origin[2] * direction[2]
    c = origin[0].square() + origin[2].square() - radius * radius
    return ((b * b - a * c).clamp_min_(0.0).sqrt_() - b) / a


_CITY_COLUMNS = 30
_CITY_FLOORS = 12


def _city_plan() -> tuple[Tensor, Tensor]:
    """Heights (columns) of the buildings over the radius and the lit windows (columns, floors, 3) as linear colours."""
    generator = torch.Generator().manual_seed(11)
    heights = 0.09 + 0.20 * torch.rand(_CITY_COLUMNS, generator=generator)
    palette = torch.tensor(((1.0, 0.80, 0.35), (0.25, 0.85, 1.0), (1.0, 0.35, 0.85), (1.0, 0.65, 0.2)))
    pick = torch.randint(0, 4, (_CITY_COLUMNS,), generator=generator)
    lit = torch.rand(_CITY_COLUMNS, 2 * _CITY_FLOORS, generator=generator) < 0.7
    return heights, (palette[pick][:, None] * lit[..., None]).flatten(0, 1).T.contiguous().square()


_CITY_HEIGHTS, _CITY_WINDOWS = _city_plan()


def _city(point: Tensor, radius: float, phase: Tensor, colours: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Colour (3, r) and presence (r) of the buildings on a cylinder."""
    turn = (torch.atan2(point[0], point[2]) + phase[0]) * (_CITY_COLUMNS / (2 * math.pi))
    turn = torch.remainder(turn, _CITY_COLUMNS)
    column = turn.long().clamp_(0, _CITY_COLUMNS - 1)
    across = turn - column
    height = point[1] / radius
    present = (height < _CITY_HEIGHTS.to(point)[column]) & (height > 0) & (across > 0.06) & (across < 0.94)
    floor = (height / 0.036).long().clamp_(0, _CITY_FLOORS - 1)
    half = across > 0.5
    within = torch.where(half, across - 0.5, across) * 2
    level = height / 0.036 - floor
    window = (within > 0.25) & (within < 0.75) & (level > 0.28) & (level < 0.78)
    index = (column * 2 + half.long()) * _CITY_FLOORS + floor
    lamp = _CITY_WINDOWS.to(point)[:, index]
    return torch.where(window & (lamp.sum(0) > 0), lamp * 0.9, colours["near_hill"].expand_as(lamp)), present


def scenery(
    environment: str, origin: Tensor, direction: Tensor, colour: Tensor, phase: Tensor, colours: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Puts hills or buildings before the sky.

    Args:
        origin: (3, r) or (3, 1) ray origins; direction: (3, r) unit vectors; colour: (3, r) the sky behind.
        phase: (4, r) or (4, 1), shapes the hills.

    Returns:
        The colour (3, r) and the distance (r) along the ray, infinite where the sky shows.
    """
    distance = torch.full_like(direction[1], math.inf)
    if environment in ("sea", "studio"):
        return colour, distance
    layers = ((1, HILL_RADIUS[1]),) if environment == "neon_city" else tuple(enumerate(HILL_RADIUS))
    for layer, radius in layers:
        far = _cylinder_exit(origin, direction, radius)
        point = origin + direction * far
        if environment == "neon_city":
            paint, present = _city(point, radius, phase, colours)
        else:
            cx, cz = point[0] / radius, point[2] / radius
            crest = _hill_height(environment, layer, cx, cz, phase)
            rise = point[1] / radius
            present = (rise < crest) & (rise > -0.001)
            paint = colours["near_hill" if layer else "far_hill"]
            if environment == "snow" and layer == 0:
                cap = ((rise - 0.075 - 0.012 * (cx * 60).sin()) / 0.012).clamp_(0, 1)
                paint = mix(paint, (paint * 1.2 + colours["sky_low"]) * 0.55, cap)
            else:
                paint = paint * (0.75 + 0.25 * (rise / crest).clamp(0, 1))
        colour = torch.where(present, paint, colour)
        distance = torch.where(present, far, distance)
    return colour, distance
