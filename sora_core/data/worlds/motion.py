"""Where the subject of a scene is at a time: the eight motions, in seconds and world units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sora_core.data.worlds.scene import OUTWARD, Scene
from sora_core.data.worlds.sdf import SOLIDS


@dataclass(frozen=True)
class Pose:
    """A rigid placement: the point where the solid's base stands, its heading about y, then its tumble about z.

    The tumble turns about the axis that points to a camera in front, through `pivot` (local height times scale).
    """

    x: float
    y: float
    z: float
    yaw: float = 0.0
    tumble: float = 0.0
    scale: float = 1.0
    pivot: float = 0.0


def there_and_back(phase: float) -> float:
    """0 -> 1 -> 0 over one cycle, slower on the way out, so that the direction can be told from any part of it."""
    phase -= math.floor(phase)
    way = phase / OUTWARD if phase < OUTWARD else (1.0 - phase) / (1.0 - OUTWARD)
    return 0.5 * way + 0.5 * way * way * (3.0 - 2.0 * way)


def subject_pose(scene: Scene, seconds: float) -> Pose:
    """The pose of the main subject."""
    motion = scene.attributes.motion
    phase = seconds / scene.tempo
    angle = 2.0 * math.pi * phase * scene.turn
    x, y, z, yaw, tumble, pivot = scene.x, 0.0, 0.0, scene.yaw, 0.0, 0.0
    if motion in ("left", "right"):
        offset = scene.travel * (2.0 * there_and_back(phase) - 1.0)
        x += offset if motion == "right" else -offset
    elif motion == "bounce":
        hop = phase - math.floor(phase)
        y = scene.lift * 4.0 * hop * (1.0 - hop)
    elif motion == "rise":
        y = scene.lift * there_and_back(phase)
    elif motion == "spin":
        yaw += angle
    elif motion == "circle":
        x += scene.travel * math.cos(angle)
        z = -scene.travel * math.sin(angle)
        if scene.attributes.subject in ("car", "duck"):
            yaw = angle + (math.pi / 2 if scene.turn > 0 else -math.pi / 2)
    elif motion == "roll":
        solid = SOLIDS[scene.attributes.subject]
        tumble = angle
        pivot = solid.height / 2 * scene.scale
        reach = solid.half_width * scene.scale
        if scene.attributes.subject in ("ball", "donut"):
            support = pivot
        else:
            support = reach * abs(math.sin(angle)) + pivot * abs(math.cos(angle))
        y = support - pivot
        x -= scene.travel * math.sin(angle)
    return Pose(x, y, z, yaw, tumble, scene.scale, pivot)


def object_poses(scene: Scene, seconds: float) -> list[tuple[str, int, tuple[float, float, float], Pose]]:
    """All solids of the scene as (kind, id in the mask, colour, pose): 1 subject, 2 second subject, 3 occluder."""
    a = scene.attributes
    objects = [(a.subject, 1, scene.colour, subject_pose(scene, seconds))]
    if a.second_subject != "none":
        pose = Pose(scene.second_x, 0.0, scene.second_z, scene.second_yaw, scale=scene.second_scale)
        objects.append((a.second_subject, 2, scene.second_colour, pose))
    if a.occluder != "none":
        objects.append(("wall", 3, (0.0, 0.0, 0.0), Pose(scene.wall_x, 0.0, scene.wall_z)))
    return objects


def local_axes(pose: Pose) -> tuple[tuple[float, float, float], ...]:
    """The rows of the rotation from the world to the solid: the solid's x, y and z axes in world coordinates."""
    cy, sy, ct, st = math.cos(pose.yaw), math.sin(pose.yaw), math.cos(pose.tumble), math.sin(pose.tumble)
    return (
        (cy * ct, cy * st, -sy),
        (-st, ct, 0.0),
        (sy * ct, sy * st, cy),
    )


def local_origin(pose: Pose) -> tuple[float, float, float]:
    """The world position of the solid's local origin: its base point, swung around the pivot."""
    return (
        pose.x + pose.pivot * math.sin(pose.tumble),
        pose.y + pose.pivot * (1.0 - math.cos(pose.tumble)),
        pose.z,
    )
