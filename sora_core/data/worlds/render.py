"""Scenes become pixels: whole clips with their ground truth, or many single pictures at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sora_core.data.worlds.attributes import Attributes
from sora_core.data.worlds.batch import SLOTS, FrameBatch, gather_frames
from sora_core.data.worlds.motion import subject_pose
from sora_core.data.worlds.scene import FOCAL, Scene
from sora_core.data.worlds.trace import Traced, trace

_RAYS_AT_ONCE = 280_000
_EDGE = 0.085
_SUBPIXELS = ((-0.33, -0.19), (0.33, -0.19), (0.0, 0.38))


@dataclass(frozen=True)
class Truth:
    """What is known about every frame of a clip.

    `depth` (t h w) in world units along the view axis, infinite in the sky; `mask` (t h w) uint8: 0 background,
    1 subject, 2 second subject, 3 occluder; `positions` (t 3) of the subject's base in the world; `boxes` (t 3 4) of
    subject, second subject and occluder as x0 y0 x1 y1 in 0..1 from the top left, hidden parts included, zero if
    absent; `poses` (t 4 4) camera to world with x right, y up, z backward; `intrinsics` (3 3) in pixels, y down.
    """

    depth: Tensor
    mask: Tensor
    positions: Tensor
    boxes: Tensor
    poses: Tensor
    intrinsics: Tensor

    def mirrored(self) -> Truth:
        """The truth of the clip seen in a mirror."""
        flip = torch.tensor((-1.0, 1.0, 1.0))
        x0, y0, x1, y1 = self.boxes.unbind(-1)
        absent = (self.boxes == 0).all(-1, keepdim=True)
        boxes = torch.where(absent, 0.0, torch.stack((1 - x1, y0, 1 - x0, y1), -1))
        reflect = torch.diag(torch.tensor((-1.0, 1.0, 1.0, 1.0)))
        return replace(
            self,
            depth=self.depth.flip(-1),
            mask=self.mask.flip(-1),
            positions=self.positions * flip,
            boxes=boxes,
            poses=reflect @ self.poses @ reflect,
        )


@dataclass(frozen=True)
class Clip:
    """Frames (t h w 3) uint8 at `fps` frames per second, what they show, and their ground truth if asked for."""

    frames: Tensor
    fps: float
    attributes: Attributes
    truth: Truth | None = None

    def mirrored(self) -> Clip:
        """The clip seen in a mirror: left and right change places in pixels, words and truth."""
        return replace(
            self,
            frames=self.frames.flip(2),
            attributes=self.attributes.mirrored(),
            truth=self.truth.mirrored() if self.truth else None,
        )


@torch.no_grad()
def render(
    scene: Scene,
    num_frames: int,
    height: int,
    width: int,
    fps: float,
    start: float = 0.0,
    want_truth: bool = True,
) -> Clip:
    """Draws `num_frames` frames of a scene, the first at `start` seconds.

    Raises:
        ValueError: a size, a count or the frame rate is not positive.
    """
    if min(num_frames, height, width) < 1 or not fps > 0:
        raise ValueError(
            f"a clip of {num_frames} frames, {width}x{height} pixels at {fps} fps was asked for;"
            " every one of these must be positive"
        )
    times = [start + index / fps for index in range(num_frames)]
    moments = [(scene, seconds) for seconds in times]
    drawn = _draw(moments, height, width, want_truth)
    truth = None
    if want_truth:
        poses = [pose for part in drawn for pose in part.poses]
        where = [subject_pose(scene, seconds) for seconds in times]
        truth = Truth(
            depth=torch.cat([part.depth for part in drawn]),
            mask=torch.cat([part.mask for part in drawn]),
            positions=torch.tensor([(p.x, p.y, p.z) for p in where]),
            boxes=torch.cat([part.boxes for part in drawn]),
            poses=torch.tensor(poses),
            intrinsics=_intrinsics(height, width),
        )
    return Clip(torch.cat([part.frames for part in drawn]), fps, scene.attributes, truth)


@torch.no_grad()
def render_images(scenes: list[Scene], times: list[float], height: int, width: int) -> Tensor:
    """Draws one frame of each scene at its time in seconds: uint8 (n h w 3)."""
    moments = list(zip(scenes, times, strict=True))
    # Each kind of solid in a part costs one march over few rays, so like goes with like.
    order = sorted(range(len(moments)), key=lambda index: _grouping(scenes[index].attributes))
    drawn = _draw([moments[index] for index in order], height, width, want_truth=False)
    frames = torch.empty((len(moments), height, width, 3), dtype=torch.uint8)
    frames[torch.tensor(order)] = torch.cat([part.frames for part in drawn])
    return frames


def _grouping(attributes: Attributes) -> tuple[str, ...]:
    paired = attributes.second_subject != "none"
    first, second = attributes.subject, attributes.second_subject
    return (min(first, second) if paired else first, second, attributes.occluder, attributes.environment)


@dataclass(frozen=True)
class _Drawn:
    frames: Tensor
    depth: Tensor
    mask: Tensor
    boxes: Tensor
    poses: list[list[list[float]]]


def _draw(moments: list[tuple[Scene, float]], height: int, width: int, want_truth: bool) -> list[_Drawn]:
    at_once = max(1, _RAYS_AT_ONCE // (height * width))
    parts = (moments[i : i + at_once] for i in range(0, len(moments), at_once))
    return [_draw_part(gather_frames(part), height, width, want_truth) for part in parts]


def _draw_part(batch: FrameBatch, height: int, width: int, want_truth: bool) -> _Drawn:
    count, pixels = len(batch), height * width
    frame = torch.arange(count).repeat_interleave(pixels)
    u, v = _frame_grid(height, width)
    seen = trace(batch, frame, u.repeat(count), v.repeat(count))
    shown = seen.colour.clamp(0, 1).sqrt_()
    edges = _edges(shown.view(3, count, height, width), seen.identity.view(count, height, width))
    pixel = edges.view(-1).nonzero().squeeze(1)
    if len(pixel):
        more = _supersample(batch, pixel, height, width, u, v)
        shown[:, pixel] = (shown[:, pixel] + more) / (1 + len(_SUBPIXELS))
    frames = (shown * 255.0 + 0.5).to(torch.uint8).view(3, count, height, width).permute(1, 2, 3, 0).contiguous()
    return _Drawn(
        frames=frames,
        depth=seen.depth.view(count, height, width),
        mask=seen.identity.view(count, height, width),
        boxes=_boxes(batch, seen, height, width) if want_truth else torch.empty(0),
        poses=[camera.matrix() for camera in batch.cameras],
    )


def _frame_grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The places (h * w) of the pixel centres right and up of the middle, in units of half the shorter side."""
    half = min(height, width) / 2
    u = (torch.arange(width) + 0.5 - width / 2) / half
    v = (height / 2 - torch.arange(height) - 0.5) / half
    return u.repeat(height), v.repeat_interleave(width)


def _edges(shown: Tensor, identity: Tensor) -> Tensor:
    """Pixels (n h w) that differ from a neighbour and so need more rays."""
    edges = torch.zeros_like(identity, dtype=torch.bool)
    for dim in (1, 2):
        size = identity.shape[dim]
        if size < 2:
            continue
        a, b = shown.narrow(dim + 1, 0, size - 1), shown.narrow(dim + 1, 1, size - 1)
        differ = (a - b).abs_().amax(0) > _EDGE
        differ |= identity.narrow(dim, 0, size - 1) != identity.narrow(dim, 1, size - 1)
        edges.narrow(dim, 0, size - 1).logical_or_(differ)
        edges.narrow(dim, 1, size - 1).logical_or_(differ)
    return edges


def _supersample(batch: FrameBatch, pixel: Tensor, height: int, width: int, u: Tensor, v: Tensor) -> Tensor:
    """The sum of the display colours (3, p) of the extra rays of pixels."""
    unit = 2.0 / min(height, width)
    frame, place = pixel // (height * width), pixel % (height * width)
    offsets = torch.tensor(_SUBPIXELS) * unit
    us = (u[place] + offsets[:, 0:1]).flatten()
    vs = (v[place] + offsets[:, 1:2]).flatten()
    colour = trace(batch, frame.repeat(len(_SUBPIXELS)), us, vs).colour
    return colour.clamp_(0, 1).sqrt_().view(3, len(_SUBPIXELS), -1).sum(1)


def _boxes(batch: FrameBatch, seen: Traced, height: int, width: int) -> Tensor:
    """Boxes (n 3 4) around all contacts of each solid, hidden ones included."""
    ray, slot = seen.contact_rays, batch.instances.identity[seen.contact_instances].long() - 1
    place = ray % (height * width)
    row, column = place // width, place % width
    owner = (ray // (height * width)) * SLOTS + slot
    blank = torch.zeros(len(batch) * SLOTS)
    sides = (
        blank.scatter_reduce(0, owner, column / width, "amin", include_self=False),
        blank.scatter_reduce(0, owner, row / height, "amin", include_self=False),
        blank.scatter_reduce(0, owner, (column + 1) / width, "amax", include_self=False),
        blank.scatter_reduce(0, owner, (row + 1) / height, "amax", include_self=False),
    )
    return torch.stack(sides, -1).view(len(batch), SLOTS, 4)


def _intrinsics(height: int, width: int) -> Tensor:
    focal = FOCAL * min(height, width) / 2
    return torch.tensor(((focal, 0.0, width / 2), (0.0, focal, height / 2), (0.0, 0.0, 1.0)))
