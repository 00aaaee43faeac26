"""One clip before it is drawn: what its attributes may be, and the continuous parameters that decide its pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from sora_core.data.worlds.attributes import CAMERAS, COLOURS, ENVIRONMENTS, MOTIONS, SUBJECTS, TIMES, Attributes

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


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Shares of the sandbox's scenes with a second subject and with a wall in front, which at most 0.34 can have."""

    pairs: float = 0.3
    walls: float = 0.07


USUAL = Mix()


def sample_attributes(generator: torch.Generator, held_out: bool | None = None, mix: Mix = USUAL) -> Attributes:
    """Draws an answer sheet: uniform subject, colour, environment and time; 20 % still; 45 % static camera;
    an occluder only where the subject moves sideways behind it.

    Args:
        held_out: None draws from all triples, False only from the training ones, True only from the held-out ones; a
            second subject makes a training triple, too, unless all are drawn from.
        mix: How many scenes have a second subject or an occluder.
    """
    while True:
        u = torch.rand(12, generator=generator, dtype=torch.float64).tolist()
        subject, colour, environment = _pick(SUBJECTS, u[0]), _pick(COLOURS, u[1]), _pick(ENVIRONMENTS, u[2])
        paired = u[9] < mix.pairs
        second_subject = _pick(SUBJECTS, u[10]) if paired else "none"
        second_colour = _pick(tuple(c for c in COLOURS if c != colour), u[11]) if paired else "none"
        if held_out is None:
            break
        beside = paired and HELD_OUT(second_subject, second_colour, environment)
        if HELD_OUT(subject, colour, environment) == held_out and not beside:
            break
    motion = "still" if u[4] < 0.2 else _pick(MOTIONS[1:], u[5])
    camera = "static" if u[6] < 0.45 else _pick(CAMERAS[1:], u[7])
    # The motion of 0.8 * 3 / 7 of the clips leads behind a wall.
    occluded = motion in ("left", "right", "circle") and u[8] < mix.walls / (0.8 * 3 / 7)
    return Attributes(
        subject=subject,
        colour=colour,
        environment=environment,
        time=_pick(TIMES, u[3]),
        motion=motion,
        camera=camera,
        second_subject=second_subject,
        second_colour=second_colour,
        occluder="wall" if occluded else "none",
        second_side="none" if not paired else "left" if u[9] < mix.pairs / 2 else "right",
    )
