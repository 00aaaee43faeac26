"""Rays through a batch of frames: which solid each one meets, and the colour it brings back.

Rays are columns (3, r). Ground and sky are closed form; only rays that meet a bounding sphere march.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sora_core.data.worlds.attributes import ENVIRONMENTS
from sora_core.data.worlds.batch import KINDS, SLOTS, FrameBatch, pick
from sora_core.data.worlds.ground import boulders, ground, haze_distance
from sora_core.data.worlds.march import march, normals, soft_shadow
from sora_core.data.worlds.scene import FOCAL
from sora_core.data.worlds.sdf import PAINTS, SOLIDS
from sora_core.data.worlds.sky import scenery, sky

_PAINT = torch.tensor(PAINTS).square_()


@dataclass(frozen=True)
class Traced:
    """What r rays saw: linear colour (3, r), depth along the view axis (r, infinite for the sky), mask id (r, uint8),
    and every (ray, instance) contact, hidden ones included."""

    colour: Tensor
    depth: Tensor
    identity: Tensor
    contact_rays: Tensor
    contact_instances: Tensor


@dataclass(frozen=True)
class _Rays:
    frame: Tensor
    origin: Tensor
    direction: Tensor
    ground_distance: Tensor


def trace(batch: FrameBatch, frame: Tensor, u: Tensor, v: Tensor) -> Traced:
    """Traces rays.

    Args:
        frame: (r) int64, the frame of each ray. u, v: (r) its place on the frame, right and up of the middle, in
            units of half the shorter side.
    """
    camera = pick(batch.camera, frame)
    u, v = u / FOCAL, v / FOCAL
    shrink = (u * u + v * v + 1.0).rsqrt_()
    direction = (camera[3:6] * u + camera[6:9] * v + camera[9:12]) * shrink
    origin = camera[0:3]
    reach = torch.where(direction[1] < -1e-3, -origin[1] / direction[1].clamp_max(-1e-3), math.inf)
    rays = _Rays(frame, origin, direction, reach)

    colour = torch.empty_like(direction)
    distance = reach.clone()
    identity = torch.zeros_like(frame, dtype=torch.uint8)
    ray, instance, travelled = _contacts(batch, rays)
    nearest = distance.scatter_reduce(0, ray, travelled, "amin")
    front = (travelled <= nearest[ray]).nonzero().squeeze(1)
    hit, owner = ray[front], instance[front]
    distance[hit] = travelled[front]
    identity[hit] = batch.instances.identity[owner]
    if len(hit):
        colour[:, hit] = _shade_solids(batch, rays, hit, owner, travelled[front])
    _shade_background(batch, rays, (identity == 0), colour, distance)
    return Traced(colour, distance * shrink, identity, ray, instance)


def _contacts(batch: FrameBatch, rays: _Rays) -> tuple[Tensor, Tensor, Tensor]:
    """(ray, instance, distance) of every ray that meets a solid above the ground."""
    ray, instance = _sphere_pairs(batch, rays)
    solids = batch.instances
    travelled = torch.full_like(ray, math.inf, dtype=torch.float32)
    for kind, chosen in _by_kind(batch, instance):
        r, i = ray[chosen], instance[chosen]
        scale = solids.scale[i]
        start = (pick(rays.origin, r) - solids.origin[:, i]) / scale
        axes = solids.axes[:, i]
        local, heading = _rotate(axes, start), _rotate(axes, rays.direction[:, r])
        travelled[chosen] = march(SOLIDS[KINDS[kind]], local, heading, rays.ground_distance[r] / scale) * scale
    met = (travelled < math.inf).nonzero().squeeze(1)
    return ray[met], instance[met], travelled[met]


def _by_kind(batch: FrameBatch, instance: Tensor) -> list[tuple[int, Tensor | slice]]:
    """Positions of each kind of solid within a list of instances."""
    kinds = batch.instances.kinds_present
    if len(kinds) == 1:
        return [(kinds[0], slice(None))] if len(instance) else []
    of_pair = batch.instances.kind[instance]
    groups = ((kind, (of_pair == kind).nonzero().squeeze(1)) for kind in kinds)
    return [(kind, chosen) for kind, chosen in groups if len(chosen)]


def _sphere_pairs(batch: FrameBatch, rays: _Rays) -> tuple[Tensor, Tensor]:
    """The (ray, instance) pairs whose bounding spheres are met."""
    solids, found_rays, found = batch.instances, [], []
    for slot in range(SLOTS):
        if not bool((solids.slots[slot] >= 0).any()):
            continue
        owner = solids.slots[slot]
        present = owner >= 0
        owner = owner.clamp_min(0)
        # Per frame, not per ray: centres relative to the camera, then one gather.
        offset = solids.centre[:, owner] - batch.camera[0:3]
        slack = offset.square().sum(0) - solids.radius[owner].square()
        slack = torch.where(present, slack, math.inf)
        table = torch.cat((offset, slack[None])).index_select(1, rays.frame)
        along = (table[0:3] * rays.direction).sum(0)
        met = ((along * along > table[3]) & (along > 0)).nonzero().squeeze(1)
        found_rays.append(met)
        found.append(owner[rays.frame[met]])
    return torch.cat(found_rays), torch.cat(found)


def _rotate(axes: Tensor, vector: Tensor) -> Tensor:
    """World vectors (3, p) in the axes (9, p) of solids."""
    return torch.stack([(axes[3 * i : 3 * i + 3] * vector).sum(0) for i in range(3)])


def _shade_solids(batch: FrameBatch, rays: _Rays, hit: Tensor, owner: Tensor, travelled: Tensor) -> Tensor:
    """Linear colours (3, p) of the points where rays `hit` meet the instances `owner`."""
    solids = batch.instances
    frame = rays.frame[hit]
    direction = rays.direction[:, hit]
    point = pick(rays.origin, hit) + direction * travelled
    normal, albedo = torch.empty_like(point), torch.empty_like(point)
    for kind, chosen in _by_kind(batch, owner):
        i = owner[chosen]
        solid, axes = SOLIDS[KINDS[kind]], solids.axes[:, i]
        local = _rotate(axes, (point[:, chosen] - solids.origin[:, i]) / solids.scale[i])
        n = normals(solid, local)
        normal[:, chosen] = axes[0:3] * n[0] + axes[3:6] * n[1] + axes[6:9] * n[2]
        material = solid.material(*local)
        albedo[:, chosen] = torch.where(material == 0, solids.colour[:, i], _PAINT.T[:, material])
    colours = {name: pick(table, frame) for name, table in batch.colours.items()}
    light = pick(batch.light, frame)
    lit = ((normal * light).sum(0) * 0.9 + 0.1).clamp_min_(0.0)
    facing = -(normal * direction).sum(0).clamp_max(0.0)
    fill, night, _ = colours["fill_night_size"]
    grounded = 0.65 + 0.35 * (point[1] / 0.4).clamp(0, 1)
    ambient = colours["ambient"] * ((0.65 + 0.35 * normal[1]) * grounded)
    colour = albedo * (ambient + colours["sun"] * lit + fill * (0.25 + 0.75 * facing))
    half = torch.nn.functional.normalize(light - direction, dim=0)
    gloss = (normal * half).sum(0).clamp_min_(0.0).pow(40).mul_(0.30 - 0.15 * night)
    rim = (1.0 - facing).square().square().mul_(0.22)
    return colour + colours["sun"] * gloss + colours["sky_middle"] * rim


def _shade_background(batch: FrameBatch, rays: _Rays, free: Tensor, colour: Tensor, distance: Tensor) -> None:
    """Fills in ground, far scenery and sky where no solid was met."""
    height = rays.direction[1]
    for number in batch.environments_present:
        mine = free
        if len(batch.environments_present) > 1:
            mine = free & (batch.environment == number)[rays.frame]
        below = (mine & (height < -1e-3)).nonzero().squeeze(1)
        if len(below):
            colour[:, below] = _shade_ground(batch, rays, below, ENVIRONMENTS[number])
        above = (mine & (height > -0.16)).nonzero().squeeze(1)
        if len(above):
            paint, far = _shade_sky(batch, rays, above, ENVIRONMENTS[number])
            visible = (far < distance[above]) | (height[above] >= -1e-3)
            above, paint, far = above[visible], paint[:, visible], far[visible]
            colour[:, above] = paint
            distance[above] = far
        near = (mine & (height.abs() < 0.3)).nonzero().squeeze(1)
        if len(near):
            _place_boulders(batch, rays, near, ENVIRONMENTS[number], colour, distance)


def _place_boulders(
    batch: FrameBatch, rays: _Rays, index: Tensor, environment: str, colour: Tensor, distance: Tensor
) -> None:
    frame = rays.frame[index]
    colours = {name: pick(batch.colours[name], frame) for name in ("ambient", "sun", "fill_night_size")}
    light, origin = pick(batch.light, frame), pick(rays.origin, index)
    found = boulders(environment, origin, rays.direction[:, index], light, colours)
    if found is not None:
        paint, far = found
        seen = (far < distance[index]).nonzero().squeeze(1)
        colour[:, index[seen]] = paint[:, seen]
        distance[index[seen]] = far[seen]


def _shade_sky(batch: FrameBatch, rays: _Rays, index: Tensor, environment: str) -> tuple[Tensor, Tensor]:
    frame, direction = rays.frame[index], rays.direction[:, index]
    colours = {name: pick(table, frame) for name, table in batch.colours.items()}
    paint = sky(direction, pick(batch.disk, frame), colours)
    phase = pick(batch.hill_phase, frame)
    return scenery(environment, pick(rays.origin, index), direction, paint, phase, colours)


def _shade_ground(batch: FrameBatch, rays: _Rays, index: Tensor, environment: str) -> Tensor:
    frame, direction, far = rays.frame[index], rays.direction[:, index], rays.ground_distance[index]
    point = pick(rays.origin, index) + direction * far
    colours = {name: pick(table, frame) for name, table in batch.colours.items()}
    light = pick(batch.light, frame)
    shift, waves = pick(batch.ground_shift, frame), pick(batch.waves, frame)
    albedo, emission = ground(environment, point, far, direction, shift, waves, pick(batch.disk, frame), colours)
    shadow, contact = _ground_shadow(batch, frame, point)
    fill = colours["fill_night_size"][0:1]
    lit = colours["ambient"] * contact + colours["sun"] * (light[1] * shadow) + fill * (0.22 * contact)
    paint = albedo * lit + emission * (0.55 + 0.45 * contact)
    fog = 1.0 - torch.exp(-(far / haze_distance(environment)).square_())
    return paint + (colours["sky_low"] - paint) * fog


def _ground_shadow(batch: FrameBatch, frame: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
    """How much sunlight and how much open sky (r each, 0 to 1) reach ground points (3, r)."""
    solids = batch.instances
    shadow, contact = torch.ones_like(point[0]), torch.ones_like(point[0])
    rows, owners = [], []
    for slot in range(SLOTS):
        owner = solids.slots[slot]
        if not bool((owner >= 0).any()):
            continue
        reach = torch.where(owner >= 0, solids.radius[owner.clamp_min(0)] * 1.2 + 0.05, -1.0)
        table = torch.cat((solids.centre[:, owner.clamp_min(0)], (reach * reach.abs())[None])).index_select(1, frame)
        towards = table[0:3] - point
        light = pick(batch.light, frame)
        along = (towards * light).sum(0).clamp_min_(0.0)
        near = ((towards - light * along).square().sum(0) < table[3]).nonzero().squeeze(1)
        rows.append(near)
        owners.append(owner[frame[near]])
    row, owner = torch.cat(rows), torch.cat(owners)
    for kind, chosen in _by_kind(batch, owner):
        r, i = row[chosen], owner[chosen]
        axes, scale = solids.axes[:, i], solids.scale[i]
        local = _rotate(axes, (point[:, r] - solids.origin[:, i]) / scale)
        heading = _rotate(axes, pick(pick(batch.light, frame), r).expand_as(local))
        dark, open_sky = soft_shadow(SOLIDS[KINDS[kind]], local, heading)
        shadow.scatter_reduce_(0, r, dark, "prod")
        contact.scatter_reduce_(0, r, open_sky, "prod")
    return shadow, contact
