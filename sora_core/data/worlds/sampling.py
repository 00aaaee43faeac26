"""Drawing a scene: places, sizes and speeds such that everything named in the attributes is seen and stays in frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from sora_core.data.worlds.attributes import Attributes
from sora_core.data.worlds.scene import FOCAL, OUTWARD, PALETTE, USUAL, Mix, Scene, sample_attributes
from sora_core.data.worlds.sdf import SOLIDS

_MARGIN = 0.97
_ONE_WAY = ("left", "right", "rise")
_SIDEWAYS = ("left", "right", "circle")
_FACING = {"car": 0.35, "duck": 0.35, "house": 0.45, "cube": 0.55}
_LEAST_TRAVEL = {"left": 0.34, "right": 0.34, "circle": 0.28, "roll": 0.05}
_MOST_TRAVEL = {"left": 0.8, "right": 0.8, "circle": 0.42, "roll": 0.12}


class _Draws:
    """Uniform numbers from one generator call, handed out in order: a scene costs one draw, whatever it needs."""

    def __init__(self, generator: torch.Generator) -> None:
        self._numbers = iter(torch.rand(48, generator=generator, dtype=torch.float64).tolist())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._numbers)

    def sign(self) -> float:
        return 1.0 if next(self._numbers) < 0.5 else -1.0

    def tint(self, name: str) -> tuple[float, float, float]:
        """A colour of the palette, slightly off."""
        red, green, blue = (min(1.0, max(0.0, c + self.between(-0.03, 0.03))) for c in PALETTE[name])
        return red, green, blue


@dataclass(frozen=True)
class _Layout:
    """Where things stand so that they fit: lengths in world units, `sweep` as in `Scene.camera_sweep`."""

    scale: float
    reach: float
    lift: float
    top: float
    sweep: float
    elevation: float
    distance: float
    travel: float
    x: float
    second_scale: float
    second_x: float


def sample_scene(
    generator: torch.Generator,
    attributes: Attributes | None = None,
    periodic: float | bool | None = None,
    *,
    held_out: bool | None = None,
    mix: Mix = USUAL,
    seconds: float = 2.0,
) -> Scene:
    """Draws a scene, for the given attributes or for drawn ones.

    Args:
        periodic: Length in seconds of the loop that every motion and camera path fits into; False or None for no loop.
        held_out, mix: Passed to `sample_attributes`; have no effect on given attributes.
        seconds: The duration to plan for: one-way motions stretch to it up to 4 s, camera moves up to 8 s.

    Raises:
        ValueError: `periodic` is True, negative or not finite: a loop needs a length.
    """
    period = _period(periodic)
    a = attributes or sample_attributes(generator, held_out, mix)
    draws = _Draws(generator)
    between = draws.between
    either = draws.sign()
    side = {"none": either, "left": -1.0, "right": 1.0}[a.second_side]
    if a.second_subject != "none":
        a = replace(a, second_side="left" if side < 0 else "right")
    tempo = _tempo(a.motion, between(1.7, 2.3), seconds, period)
    layout = _layout(a, draws, side)
    yaw = _heading(a, draws)
    turn = draws.sign()
    sunset, night = a.time == "sunset", a.time == "night"
    disk_azimuth = between(0.12, 0.34) * draws.sign()
    light_azimuth = math.pi - between(0.5, 1.1) * draws.sign()
    return Scene(
        attributes=a,
        period=period,
        colour=draws.tint(a.colour),
        second_colour=draws.tint(a.second_colour) if a.second_colour != "none" else (0.0, 0.0, 0.0),
        scale=layout.scale,
        x=layout.x,
        yaw=yaw,
        travel=layout.travel,
        lift=layout.lift,
        tempo=tempo,
        turn=turn,
        second_scale=layout.second_scale,
        second_x=layout.second_x,
        second_z=between(-0.15, 0.1),
        second_yaw=between(-0.5, 0.5),
        wall_x=between(-0.08, 0.08) if a.motion in _SIDEWAYS else side * layout.reach * 0.62,
        wall_z=layout.reach + 0.12 + (layout.travel if a.motion == "circle" else 0.0),
        camera_distance=layout.distance,
        camera_elevation=layout.elevation,
        camera_height=layout.top / 2,
        camera_sweep=layout.sweep,
        camera_tempo=between(1.5, 1.9) * max(1.0, min(seconds, 8.0) / 2),
        light_azimuth=disk_azimuth if sunset else light_azimuth,
        light_elevation=between(0.36, 0.46) if sunset else between(0.75, 1.0),
        disk_azimuth=disk_azimuth,
        disk_elevation=between(0.14, 0.18) if sunset else between(0.20, 0.23) if night else 1.2,
        ground_shift=(between(0.0, 8.0), between(0.0, 8.0)),
        hill_phase=(between(0, 6.28), between(0, 6.28), between(0, 6.28), between(0, 6.28)),
    )


def _period(periodic: float | bool | None) -> float | None:
    if periodic is None or periodic is False:
        return None
    if periodic is True or not 0 < periodic < math.inf:
        raise ValueError(f"periodic is {periodic}; it must be the length of the loop in seconds, for example 2.0")
    return float(periodic)


def _tempo(motion: str, outward: float, seconds: float, period: float | None) -> float:
    """The length of one cycle of a motion, which divides the period if there is one."""
    if motion in _ONE_WAY:
        tempo = outward * max(1.0, min(seconds, 4.0) / 2) / OUTWARD
    else:
        tempo = outward * (0.42 if motion == "bounce" else 1.0)
    return tempo if period is None else period / max(1, round(period / tempo))


def _layout(a: Attributes, draws: _Draws, side: float) -> _Layout:
    """Brings the camera as near as size, room for the motion and company at the `side` allow, for any aspect ratio."""
    between, solid = draws.between, SOLIDS[a.subject]
    scale = between(0.96, 1.08)
    reach, height = (length * scale for length in _extent(a.motion, a.subject))
    lift = {"bounce": between(0.42, 0.58), "rise": between(0.55, 0.7)}.get(a.motion, 0.0)
    roomy = a.motion in ("still", "spin", "roll") and a.second_subject == "none"
    fraction = between(0.46, 0.54) if roomy else between(0.41, 0.47)
    size = max(solid.height * 0.94, 1.55 * solid.reach) * scale
    sweep = _sweep(a.camera, draws)
    elevation = between(0.10, 0.19)
    second_scale = between(0.38, 0.44) if a.motion in _MOST_TRAVEL else between(0.44, 0.52)
    second = SOLIDS.get(a.second_subject)
    second_reach = second.reach * second_scale + 0.06 if second else 0.0

    least = _LEAST_TRAVEL.get(a.motion, 0.0) * (0.8 if second else 1.0)
    depth = reach * 0.6 + (0.5 * least if a.motion == "circle" or a.camera == "orbit" else 0.0)
    margin = _MARGIN - (FOCAL * math.tan(sweep) if a.camera.startswith("pan") else 0.0)
    near = 1.0 - (sweep if a.camera in ("push_in", "pull_out") else 0.0)
    top = height + lift
    distance = max(
        FOCAL * size / (2 * fraction) / near**0.5,
        (FOCAL * (reach + least + second_reach) / margin + depth) / near,
        (FOCAL * (top / 2 * 1.04 + reach * elevation) / _MARGIN + depth + reach * 0.25) / near,
    )
    room = (distance * near - depth) * margin / FOCAL
    travel = min(room - reach - second_reach, _MOST_TRAVEL.get(a.motion, 0.0))
    x, second_x = -side * second_reach, side * (room - second_reach + 0.05)
    return _Layout(scale, reach, lift, top, sweep, elevation, distance, travel, x, second_scale, second_x)


def _extent(motion: str, subject: str) -> tuple[float, float]:
    """The half width and height that a subject of scale 1 needs while it makes a motion on the spot."""
    solid = SOLIDS[subject]
    if motion == "roll":
        diagonal = math.hypot(solid.reach, solid.height / 2)
        return diagonal, 2 * diagonal
    return solid.reach, solid.height


def _sweep(camera: str, draws: _Draws) -> float:
    """How far the camera moves either way: a share of its distance, or radians."""
    sweeps = {
        "push_in": draws.between(0.17, 0.23),
        "pull_out": draws.between(0.17, 0.23),
        "pan_left": draws.between(0.10, 0.14),
        "pan_right": draws.between(0.10, 0.14),
        "orbit": draws.between(0.42, 0.60) * draws.sign(),
    }
    return sweeps.get(camera, 0.0)


def _heading(a: Attributes, draws: _Draws) -> float:
    """The yaw that shows the subject well: cars and ducks from the side, nose first where they travel."""
    facing = 0.3 if a.motion in ("left", "right") else _FACING.get(a.subject, 0.5)
    yaw = draws.between(-facing, facing)
    if a.subject in ("car", "duck") and (a.motion == "left" or (a.motion != "right" and draws.sign() > 0)):
        yaw += math.pi
    return yaw
