"""Where the camera is at a time, and how world points fall onto the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sora_core.data.worlds.motion import there_and_back
from sora_core.data.worlds.scene import FOCAL, Scene

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class CameraPose:
    """The camera's position and its right, up and forward axes in world coordinates."""

    position: Vector
    right: Vector
    up: Vector
    forward: Vector

    def project(self, point: Vector) -> tuple[float, float, float]:
        """A world point as (right, up, depth): the first two in units of half the shorter side of the frame."""
        offset = [p - c for p, c in zip(point, self.position, strict=True)]
        right, up, depth = (sum(a * o for a, o in zip(axis, offset, strict=True)) for axis in self._axes())
        return FOCAL * right / depth, FOCAL * up / depth, depth

    def matrix(self) -> list[list[float]]:
        """Camera to world, 4x4, with x right, y up and z backward (the OpenGL convention)."""
        rows = [[self.right[i], self.up[i], -self.forward[i], self.position[i]] for i in range(3)]
        return [*rows, [0.0, 0.0, 0.0, 1.0]]

    def _axes(self) -> tuple[Vector, Vector, Vector]:
        return self.right, self.up, self.forward


def progress(scene: Scene, seconds: float) -> float:
    """How much of its move the camera has made, 0 to 1: it settles at the end, or returns once per period."""
    if scene.period is not None:
        return there_and_back(seconds / scene.period)
    return 1.0 - math.exp(-seconds / scene.camera_tempo)


def camera_pose(scene: Scene, seconds: float) -> CameraPose:
    """The pose of the camera: it looks at the middle of the space the subject moves in, except while panning."""
    move = scene.attributes.camera
    way = 2.0 * progress(scene, seconds) - 1.0  # -1 -> 1
    azimuth, pan, distance = 0.0, 0.0, scene.camera_distance
    if move == "push_in":
        distance *= 1.0 - scene.camera_sweep * way
    elif move == "pull_out":
        distance *= 1.0 + scene.camera_sweep * way
    elif move == "orbit":
        azimuth = scene.camera_sweep * way
    elif move == "pan_left":
        pan = -scene.camera_sweep * way
    elif move == "pan_right":
        pan = scene.camera_sweep * way
    return _look(azimuth, scene.camera_elevation, distance, scene.camera_height, pan)


def _look(azimuth: float, elevation: float, distance: float, height: float, pan: float) -> CameraPose:
    ce, se = math.cos(elevation), math.sin(elevation)
    position = (distance * ce * math.sin(azimuth), height + distance * se, distance * ce * math.cos(azimuth))
    heading = azimuth - pan  # turning right looks towards +x
    ch, sh = math.cos(heading), math.sin(heading)
    right = (ch, 0.0, -sh)
    forward = (-sh * ce, -se, -ch * ce)
    up = (-sh * se, ce, -ch * se)
    return CameraPose(position, right, up, forward)
