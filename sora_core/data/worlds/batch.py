"""Moments of scenes gathered into flat tables, so that rays of many frames can be traced in one go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sora_core.data.worlds.attributes import ENVIRONMENTS
from sora_core.data.worlds.camera import CameraPose, camera_pose
from sora_core.data.worlds.motion import local_axes, local_origin, object_poses
from sora_core.data.worlds.palette import look
from sora_core.data.worlds.scene import Scene
from sora_core.data.worlds.sdf import SOLIDS

KINDS = tuple(SOLIDS)
SLOTS = 3
"""Most solids in one frame: the subject, the second subject and the occluder."""

_WAVE_SECONDS = (2.3, 3.1, 1.9)


@dataclass(frozen=True)
class Instances:
    """The solids of all frames, one column each (m of them), and where to find them: `slots` (3, n), -1 for none."""

    slots: Tensor
    kind: Tensor
    identity: Tensor
    origin: Tensor
    axes: Tensor
    scale: Tensor
    colour: Tensor
    centre: Tensor
    radius: Tensor
    kinds_present: tuple[int, ...]


@dataclass(frozen=True)
class FrameBatch:
    """n frames as tables of n columns; a table of one column holds for all frames."""

    cameras: tuple[CameraPose, ...]
    camera: Tensor
    light: Tensor
    disk: Tensor
    ground_shift: Tensor
    hill_phase: Tensor
    waves: Tensor
    colours: dict[str, Tensor]
    environment: Tensor
    environments_present: tuple[int, ...]
    instances: Instances

    def __len__(self) -> int:
        return len(self.cameras)


def pick(table: Tensor, columns: Tensor) -> Tensor:
    """The columns of a table, or the table itself where its one column holds for all."""
    return table if table.shape[1] == 1 else table.index_select(1, columns)


def _table(rows: list[list[float]]) -> Tensor:
    """(k, n) from n rows of k numbers, reduced to (k, 1) if they are all equal."""
    if all(row == rows[0] for row in rows):
        rows = rows[:1]
    return torch.tensor(rows, dtype=torch.float32).T.contiguous()


def _towards(azimuth: float, elevation: float) -> list[float]:
    """A unit vector; azimuth 0 points away from the camera's usual place, positive to the right."""
    flat = math.cos(elevation)
    return [flat * math.sin(azimuth), math.sin(elevation), -flat * math.cos(azimuth)]


def _waves(scene: Scene, seconds: float) -> list[float]:
    """The phases of the three wave trains of the sea."""
    cycles = (
        seconds / scene.period * max(1, round(scene.period / w)) if scene.period else seconds / w for w in _WAVE_SECONDS
    )
    return [2 * math.pi * math.fmod(c, 1.0) for c in cycles]


def _instances(moments: list[tuple[Scene, float]]) -> Instances:
    slots = torch.full((SLOTS, len(moments)), -1, dtype=torch.int64)
    rows: list[list[float]] = []
    kinds: list[int] = []
    identities: list[int] = []
    for frame, (scene, seconds) in enumerate(moments):
        for kind, identity, colour, pose in object_poses(scene, seconds):
            solid = SOLIDS[kind]
            axes, origin = local_axes(pose), local_origin(pose)
            centre = [origin[i] + axes[1][i] * solid.centre * pose.scale for i in range(3)]
            slots[identity - 1, frame] = len(rows)
            kinds.append(KINDS.index(kind))
            identities.append(identity)
            rows.append(
                [*origin, *axes[0], *axes[1], *axes[2], *(c * c for c in colour), *centre, solid.radius * pose.scale,
                 pose.scale]
            )  # fmt: skip
    table = torch.tensor(rows, dtype=torch.float32).T.contiguous()
    return Instances(
        slots=slots,
        kind=torch.tensor(kinds),
        identity=torch.tensor(identities, dtype=torch.uint8),
        origin=table[0:3],
        axes=table[3:12],
        scale=table[19],
        colour=table[12:15],
        centre=table[15:18],
        radius=table[18],
        kinds_present=tuple(sorted(set(kinds))),
    )


def gather_frames(moments: list[tuple[Scene, float]]) -> FrameBatch:
    """Tables for the given (scene, seconds) moments, one frame each."""
    cameras = tuple(camera_pose(scene, seconds) for scene, seconds in moments)
    scenes = [scene for scene, _ in moments]
    looks = {key: look(*key) for key in {(s.attributes.environment, s.attributes.time) for s in scenes}}
    per_frame = [looks[s.attributes.environment, s.attributes.time] for s in scenes]
    environments = [ENVIRONMENTS.index(s.attributes.environment) for s in scenes]
    return FrameBatch(
        cameras=cameras,
        camera=_table([[*c.position, *c.right, *c.up, *c.forward] for c in cameras]),
        light=_table([_towards(s.light_azimuth, s.light_elevation) for s in scenes]),
        disk=_table([_towards(s.disk_azimuth, s.disk_elevation) for s in scenes]),
        ground_shift=_table([list(s.ground_shift) for s in scenes]),
        hill_phase=_table([list(s.hill_phase) for s in scenes]),
        waves=_table([_waves(s, seconds) for s, seconds in moments]),
        colours={name: _table([row[name] for row in per_frame]) for name in per_frame[0]},
        environment=torch.tensor(environments),
        environments_present=tuple(sorted(set(environments))),
        instances=_instances(moments),
    )
