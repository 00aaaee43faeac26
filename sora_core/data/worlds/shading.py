"""How the seven environments look at the three times of day: sky, far scenery, ground and light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sora_core.data.worlds.attributes import ENVIRONMENTS

Colour = tuple[float, float, float]

HILL_RADIUS = (22.0, 13.0)
"""Distances of the far and the near layer of hills (or of the buildings) from the middle of the world."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """Light of one time of day, linear: from the sun or moon, from the sky, and from beside the camera."""

    sun: Colour
    sky: Colour
    fill: float


LIGHTS: dict[str, Light] = {
    "day": Light(sun=(0.86, 0.82, 0.74), sky=(0.36, 0.40, 0.46), fill=0.10),
    "sunset": Light(sun=(0.95, 0.52, 0.25), sky=(0.33, 0.27, 0.30), fill=0.50),
    "night": Light(sun=(0.11, 0.15, 0.25), sky=(0.09, 0.11, 0.18), fill=0.60),
}

_SUNSET_SKY = ((1.00, 0.66, 0.32), (0.93, 0.47, 0.42), (0.42, 0.30, 0.56))
_NIGHT_SKY = ((0.13, 0.17, 0.34), (0.06, 0.08, 0.20), (0.02, 0.03, 0.09))
_DAY_SKY = {
    "meadow": ((0.80, 0.91, 0.98), (0.50, 0.74, 0.97), (0.22, 0.50, 0.90)),
    "desert": ((0.96, 0.92, 0.80), (0.66, 0.82, 0.95), (0.32, 0.60, 0.92)),
    "snow": ((0.90, 0.94, 0.98), (0.72, 0.83, 0.94), (0.48, 0.66, 0.88)),
    "sea": ((0.84, 0.94, 0.98), (0.48, 0.77, 0.98), (0.18, 0.50, 0.93)),
    "studio": ((0.88, 0.89, 0.90), (0.76, 0.79, 0.83), (0.60, 0.65, 0.72)),
    "neon_city": ((0.84, 0.80, 0.95), (0.62, 0.66, 0.95), (0.38, 0.46, 0.88)),
    "mars": ((0.93, 0.76, 0.58), (0.85, 0.62, 0.45), (0.66, 0.44, 0.33)),
}
_SKY_TINT = {
    "mars": ((1.0, 0.70, 0.58), 0.65),
    "neon_city": ((0.95, 0.55, 1.00), 0.45),
    "studio": ((0.9, 0.9, 0.9), 0.2),
}

# Two ground colours, the far and the near hill colour (display values by day).
_GROUND = {
    "meadow": ((0.36, 0.72, 0.22), (0.24, 0.58, 0.18), (0.44, 0.66, 0.56), (0.28, 0.56, 0.26)),
    "desert": ((0.93, 0.79, 0.52), (0.86, 0.68, 0.42), (0.88, 0.76, 0.58), (0.84, 0.66, 0.40)),
    "snow": ((0.95, 0.97, 1.00), (0.86, 0.91, 0.98), (0.62, 0.70, 0.82), (0.80, 0.86, 0.95)),
    "sea": ((0.22, 0.62, 0.82), (0.05, 0.34, 0.66), (0.5, 0.6, 0.7), (0.4, 0.5, 0.6)),
    "studio": ((0.90, 0.90, 0.90), (0.52, 0.53, 0.55), (0.7, 0.7, 0.7), (0.7, 0.7, 0.7)),
    "neon_city": ((0.25, 0.20, 0.36), (0.25, 0.20, 0.36), (0.30, 0.25, 0.42), (0.20, 0.17, 0.30)),
    "mars": ((0.74, 0.40, 0.24), (0.62, 0.31, 0.18), (0.66, 0.40, 0.30), (0.52, 0.27, 0.18)),
}
_HILL_LIGHT = {"day": (1.0, 1.0, 1.0), "sunset": (0.92, 0.62, 0.58), "night": (0.24, 0.28, 0.46)}


def _linear(colour: Colour) -> list[float]:
    return [c * c for c in colour]


def look(environment: str, time: str) -> dict[str, list[float]]:
    """The linear colours of an environment at a time of day, by name, three numbers each."""
    sky = {"day": _DAY_SKY[environment], "sunset": _SUNSET_SKY, "night": _NIGHT_SKY}[time]
    if time != "day" and environment in _SKY_TINT:
        tint, amount = _SKY_TINT[environment]
        sky = tuple(tuple(c * (1 - amount + amount * t) for c, t in zip(s, tint, strict=True)) for s in sky)
    ground_a, ground_b, far, near = _GROUND[environment]
    light, dim = LIGHTS[time], _HILL_LIGHT[time]
    haze = {"day": 0.35, "sunset": 0.35, "night": 0.25}[time]
    far = tuple(c * d * (1 - haze) + s * haze for c, d, s in zip(far, dim, sky[0], strict=True))
    near = tuple(c * d * 0.88 + s * 0.12 for c, d, s in zip(near, dim, sky[0], strict=True))
    disk = {"day": (1.6, 1.6, 1.5), "sunset": (1.0, 0.93, 0.62), "night": (0.92, 0.93, 0.86)}[time]
    return {
        "sky_low": _linear(sky[0]),
        "sky_middle": _linear(sky[1]),
        "sky_high": _linear(sky[2]),
        "ground_a": _linear(ground_a),
        "ground_b": _linear(ground_b),
        "far_hill": _linear(far),
        "near_hill": _linear(near),
        "disk": _linear(disk),
        "sun": list(light.sun),
        "ambient": list(light.sky),
        "fill_night_size": [light.fill, float(time == "night"), {"day": 0.05, "sunset": 0.085, "night": 0.06}[time]],
    }


def _mix(a: Tensor, b: Tensor, amount: Tensor) -> Tensor:
    return a + (b - a) * amount


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
    colour = _mix(colours["sky_low"], colours["sky_middle"], lower)
    colour = _mix(colour, colours["sky_high"], upper)
    _, night, size = colours["fill_night_size"]
    towards = (direction * disk_direction).sum(0)
    angle = (2.0 - 2.0 * towards).clamp_min_(0.0).sqrt_()
    glow = (1.0 - angle / (size * 5)).clamp_(0, 1).square_() * (0.35 - 0.17 * night)
    disk = ((size - angle) / 0.012 + 0.5).clamp_(0, 1)
    colour = _mix(colour, colours["disk"], torch.maximum(glow, disk))
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
                paint = _mix(paint, (paint * 1.2 + colours["sky_low"]) * 0.55, cap)
            else:
                paint = paint * (0.75 + 0.25 * (rise / crest).clamp(0, 1))
        colour = torch.where(present, paint, colour)
        distance = torch.where(present, far, distance)
    return colour, distance


_BOULDERS = {
    "mars": ((0.46, 0.22, 0.14), 0.62),
    "meadow": ((0.16, 0.42, 0.14), 1.0),
}
_BOULDER_PLACES = ((-2.6, -3.2, 0.50), (2.9, -4.6, 0.75), (-4.6, -6.5, 1.0), (1.2, -7.8, 0.6), (5.5, -5.0, 0.6))
_BOULDER_PLACES += ((-5.5, 1.0, 0.7), (5.8, 0.5, 0.7), (-7.5, -3.0, 1.0), (0.2, 9.0, 0.8))


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
        return _mix(a, b, 0.5 + (tile - 0.5) * fade), none
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
        return _mix(a, b, 0.5 + 0.5 * ripple), none
    scale = {"meadow": 1.3, "snow": 0.8, "mars": 1.1}[environment]
    patch = (x * scale).sin() * (z * scale * 1.2 + 0.7 * (x * 0.6).sin()).sin()
    patch = patch + 0.4 * (x * 2.9 + z * 1.7).sin() * (1.0 - distance / 9.0).clamp_(0, 1)
    return _mix(a, b, (0.5 + 0.5 * patch).clamp_(0, 1)), none


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
    return _mix(colours["ground_b"], colours["ground_a"], (0.5 + 0.55 * slope).clamp_(0, 1)), reflected


def haze_distance(environment: str) -> float:
    """How far one sees before the ground fades into the horizon: shorter where no hills hide the horizon."""
    return 15.0 if environment in ("sea", "studio", "neon_city") else 32.0


def environment_index(environment: str) -> int:
    """The number that stands for an environment in a batch."""
    return ENVIRONMENTS.index(environment)
