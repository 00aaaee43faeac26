"""The colours and lights of the seven environments at the three times of day."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

Colour = tuple[float, float, float]


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


def _times(a: Colour, b: tuple[float, ...]) -> Colour:
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


def _towards(a: Colour, b: Colour, amount: float) -> Colour:
    red, green, blue = (x * (1 - amount) + y * amount for x, y in zip(a, b, strict=True))
    return red, green, blue


def look(environment: str, time: str) -> dict[str, list[float]]:
    """The linear colours of an environment at a time of day, by name, three numbers each."""
    sky = {"day": _DAY_SKY[environment], "sunset": _SUNSET_SKY, "night": _NIGHT_SKY}[time]
    if time != "day" and environment in _SKY_TINT:
        tint, amount = _SKY_TINT[environment]
        low, middle, high = (_times(band, tuple(1 - amount + amount * t for t in tint)) for band in sky)
        sky = (low, middle, high)
    ground_a, ground_b, far, near = _GROUND[environment]
    light, dim = LIGHTS[time], _HILL_LIGHT[time]
    haze = {"day": 0.35, "sunset": 0.35, "night": 0.25}[time]
    far = _towards(_times(far, dim), sky[0], haze)
    near = _towards(_times(near, dim), sky[0], 0.12)
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


def mix(a: Tensor, b: Tensor, amount: Tensor) -> Tensor:
    """`a` where the amount is 0, `b` where it is 1."""
    return a + (b - a) * amount
