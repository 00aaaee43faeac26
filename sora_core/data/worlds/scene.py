"""One clip before it is drawn: its attributes, its continuous parameters, and how to sample them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import torch

from sora_core.data.worlds.attributes import CAMERAS, COLOURS, ENVIRONMENTS, MOTIONS, SUBJECTS, TIMES, Attributes
from sora_core.data.worlds.sdf import SOLIDS

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.08, 0.08),
    "orange": (1.00, 0.50, 0.02),
    "yellow": (1.00, 0.88, 0.08),
    "green": (0.10, 0.68, 0.14),
    "cyan": (0.08, 0.86, 0.88),
    "blue": (0.10, 0.22, 0.95),
    "purple": (0.56, 0.14, 0.88),
    "pink": (1.00, 0.42, 0.72),
}
"""Display colours of the colour attribute."""

FOCAL = 2.2
"""Focal length in units of half the shorter side of the frame: a field of view of 49 degrees across that side."""

OUTWARD = 0.7
"""The share of a cycle that a one-way motion spends going its way; the rest brings it back, faster."""

_MARGIN = 0.97
_FACING = {"car": 0.35, "duck": 0.35, "house": 0.45, "cube": 0.55}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that decides the pixels of a clip. Lengths are world units (a subject is about 1), times seconds."""

    attributes: Attributes
    period: float | None
    colour: tuple[float, float, float]
    second_colour: tuple[float, float, float]
    scale: float
    x: float
    yaw: float
    travel: float
    lift: float
    tempo: float
    turn: float
    second_scale: float
    second_x: float
    second_z: float
    second_yaw: float
    wall_x: float
    wall_z: float
    camera_distance: float
    camera_elevation: float
    camera_height: float
    camera_sweep: float
    camera_tempo: float
    light_azimuth: float
    light_elevation: float
    disk_azimuth: float
    disk_elevation: float
    ground_shift: tuple[float, float]
    hill_phase: tuple[float, float, float, float]


def HELD_OUT(subject: str, colour: str, environment: str) -> bool:  # noqa: N802
    """Whether a (subject, colour, environment) triple is one of the ~10 % kept away from training."""
    digest = hashlib.blake2b(f"{subject}/{colour}/{environment}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 1000 < 100


def _pick(values: tuple[str, ...], u: float) -> str:
    return values[min(int(u * len(values)), len(values) - 1)]


def sample_attributes(generator: torch.Generator, held_out: bool | None = None) -> Attributes:
    """Draws an answer sheet: uniform subject, colour, environment and time; 20 % still; 45 % static camera;
    30 % with a second subject; 7 % with an occluder, only where the subject moves sideways behind it.

    Args:
        held_out: None draws from all triples, False only from the training ones, True only from the held-out ones.
    """
    while True:
        u = torch.rand(12, generator=generator, dtype=torch.float64).tolist()
        subject, colour, environment = _pick(SUBJECTS, u[0]), _pick(COLOURS, u[1]), _pick(ENVIRONMENTS, u[2])
        if held_out is None or HELD_OUT(subject, colour, environment) == held_out:
            break
    motion = "still" if u[4] < 0.2 else _pick(MOTIONS[1:], u[5])
    camera = "static" if u[6] < 0.45 else _pick(CAMERAS[1:], u[7])
    # 0.07 over the 0.8 * 3 / 7 of the clips whose motion leads behind a wall.
    occluded = motion in ("left", "right", "circle") and u[8] < 0.07 / (0.8 * 3 / 7)
    paired = u[9] < 0.3
    return Attributes(
        subject=subject,
        colour=colour,
        environment=environment,
        time=_pick(TIMES, u[3]),
        motion=motion,
        camera=camera,
        second_subject=_pick(SUBJECTS, u[10]) if paired else "none",
        second_colour=_pick(tuple(c for c in COLOURS if c != colour), u[11]) if paired else "none",
        occluder="wall" if occluded else "none",
    )


def sample_scene(
    generator: torch.Generator,
    attributes: Attributes | None = None,
    periodic: float | bool | None = None,
    *,
    held_out: bool | None = None,
    seconds: float = 2.0,
) -> Scene:
    """Draws a scene, for the given attributes or for drawn ones.

    Args:
        periodic: Length in seconds of the loop that every motion and camera path fits into; False or None for no loop.
        held_out: Passed to `sample_attributes`; has no effect on given attributes.
        seconds: The duration to plan for: one-way motions and camera moves take at least that long, up to 4 s.
    """
    a = attributes or sample_attributes(generator, held_out)
    u = iter(torch.rand(48, generator=generator, dtype=torch.float64).tolist())

    def between(low: float, high: float) -> float:
        return low + (high - low) * next(u)

    period = float(periodic) if periodic else None
    solid = SOLIDS[a.subject]
    side = 1.0 if next(u) < 0.5 else -1.0
    tempo = between(1.7, 2.3) * max(1.0, min(seconds, 4.0) / 2 if a.motion in ("left", "right", "rise") else 1.0)
    tempo *= {"bounce": 0.42, "left": 1 / OUTWARD, "right": 1 / OUTWARD, "rise": 1 / OUTWARD}.get(a.motion, 1.0)
    scale = between(0.96, 1.08)
    reach, height = _extent(a.motion, a.subject)
    reach, height = reach * scale, height * scale
    lift = {"bounce": between(0.42, 0.58), "rise": between(0.55, 0.7)}.get(a.motion, 0.0)

    # How large the subject appears: less when it needs room to move.
    roomy = a.motion in ("still", "spin", "roll") and a.second_subject == "none"
    fraction = between(0.46, 0.54) if roomy else between(0.41, 0.47)
    size = max(solid.height * 0.94, 1.55 * solid.reach) * scale
    sweep = {
        "push_in": between(0.17, 0.23),
        "pull_out": between(0.17, 0.23),
        "pan_left": between(0.10, 0.14),
        "pan_right": between(0.10, 0.14),
        "orbit": between(0.42, 0.60) * (1.0 if next(u) < 0.5 else -1.0),
    }.get(a.camera, 0.0)
    elevation = between(0.10, 0.19)
    sideways = a.motion in ("left", "right", "circle", "roll")
    second_scale = between(0.38, 0.44) if sideways else between(0.44, 0.52)
    second_solid = SOLIDS.get(a.second_subject)
    second_reach = (second_solid.reach * second_scale + 0.06) if second_solid else 0.0

    # Half the width that must be visible at the subject's depth, as seen when the camera is nearest.
    least = {"left": 0.34, "right": 0.34, "circle": 0.28, "roll": 0.05}.get(a.motion, 0.0)
    least *= 0.8 if second_solid else 1.0
    depth = reach * 0.6 + (0.5 * least if a.motion == "circle" or a.camera == "orbit" else 0.0)
    half = reach + least + second_reach
    pan = FOCAL * math.tan(sweep) if a.camera.startswith("pan") else 0.0
    near = 1.0 - (sweep if a.camera in ("push_in", "pull_out") else 0.0)
    top = height + lift
    distance = max(
        FOCAL * size / (2 * fraction) / near**0.5,
        (FOCAL * half / (_MARGIN - pan) + depth) / near,
        (FOCAL * (top / 2 * 1.04 + reach * elevation) / _MARGIN + depth + reach * 0.25) / near,
    )
    room = (distance * near - depth) * (_MARGIN - pan) / FOCAL
    travel = room - reach - second_reach
    travel = min(travel, {"left": 0.8, "right": 0.8, "circle": 0.42, "roll": 0.12}.get(a.motion, 0.0))
    x = -side * second_reach if a.second_subject != "none" else 0.0
    second_x = side * (room - second_reach + 0.05)

    facing = _FACING.get(a.subject, 0.5)
    yaw = between(-facing, facing) if a.motion not in ("left", "right") else between(-0.3, 0.3)
    if a.subject in ("car", "duck") and (a.motion == "left" or (a.motion != "right" and next(u) < 0.5)):
        yaw += math.pi
    direction = 1.0 if next(u) < 0.5 else -1.0
    sunset, night = a.time == "sunset", a.time == "night"
    disk_azimuth = between(0.12, 0.34) * (1.0 if next(u) < 0.5 else -1.0)
    light_azimuth = math.pi - between(0.5, 1.1) * (1.0 if next(u) < 0.5 else -1.0)

    def tint(name: str) -> tuple[float, float, float]:
        return tuple(min(1.0, max(0.0, c + between(-0.03, 0.03))) for c in PALETTE[name])

    scene = Scene(
        attributes=a,
        period=period,
        colour=tint(a.colour),
        second_colour=tint(a.second_colour) if a.second_colour != "none" else (0.0, 0.0, 0.0),
        scale=scale,
        x=x,
        yaw=yaw,
        travel=travel,
        lift=lift,
        tempo=tempo,
        turn=direction,
        second_scale=second_scale,
        second_x=second_x,
        second_z=between(-0.15, 0.1),
        second_yaw=between(-0.5, 0.5),
        wall_x=between(-0.08, 0.08) if sideways and a.motion != "roll" else side * reach * 0.62,
        wall_z=reach + 0.12 + (travel if a.motion == "circle" else 0.0),
        camera_distance=distance,
        camera_elevation=elevation,
        camera_height=top / 2,
        camera_sweep=sweep,
        camera_tempo=between(1.5, 1.9) * max(1.0, min(seconds, 8.0) / 2),
        light_azimuth=disk_azimuth if sunset else light_azimuth,
        light_elevation=between(0.36, 0.46) if sunset else between(0.75, 1.0),
        disk_azimuth=disk_azimuth,
        disk_elevation=between(0.14, 0.18) if sunset else between(0.20, 0.23) if night else 1.2,
        ground_shift=(between(0.0, 8.0), between(0.0, 8.0)),
        hill_phase=(between(0, 6.28), between(0, 6.28), between(0, 6.28), between(0, 6.28)),
    )
    return scene if period is None else replace(scene, tempo=_fit_period(tempo, period))


def _extent(motion: str, subject: str) -> tuple[float, float]:
    """The half width and height that a subject of scale 1 needs while it makes a motion on the spot."""
    solid = SOLIDS[subject]
    if motion == "roll":
        diagonal = math.hypot(solid.reach, solid.height / 2)
        return diagonal, 2 * diagonal
    return solid.reach, solid.height


def _fit_period(tempo: float, period: float) -> float:
    """The cycle length nearest to `tempo` that divides the period."""
    return period / max(1, round(period / tempo))
