"""Is the world solid? What was seen before is looked for where the known camera must see it now: reprojection.

A model is given the beginning of a rendered clip, in which the camera moves about a still scene, and goes on with it.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.worlds import Clip, render, sample_scene
from ..data.worlds.attributes import CAMERAS
from ..data.worlds.captions import compose
from ..data.worlds.render import Truth
from ..data.worlds.scene import sample_attributes
from ..editing import recipes
from ..randomness import generator
from .editing_bench import SHAPE, Bench, batches
from .prompts import Prompt

GIVEN = 5
"""Frames that are given: two latent ones, enough to see how the camera moves."""
NEAR = 0.03
"""How much of its depth a point may be off and still be the one that was seen."""
VISIBLE = 0.05
"""How much a pixel must change in the rendered clip for the camera's way to be visible there, in [0, 1]."""


def camera_prompts(count: int) -> list[Prompt]:
    """Prompts of still things around which the camera moves, each of its five ways in turn."""
    prompts = []
    for i in range(count):
        draws = generator(i, "evaluation camera")
        a = sample_attributes(draws, held_out=False)
        moves = [move for move in CAMERAS if move != "static"]
        place = "desert" if a.environment == "sea" else a.environment  # waves do not keep still
        a = replace(a, motion="still", camera=moves[i % len(moves)], occluder="none", environment=place)
        prompts.append(Prompt(compose(a, draws, "en", "descriptive").text, {}, 5_000_000 + i, a))
    return prompts


def film(prompt: Prompt) -> Clip:
    """The rendered clip of a prompt with its camera and its depths."""
    scene = sample_scene(generator(prompt.seed, "evaluation scene"), prompt.attributes, seconds=SHAPE.seconds)
    return render(scene, SHAPE.num_frames, SHAPE.height, SHAPE.width, SHAPE.fps)


def seen_again(truth: Truth, source: int, target: int) -> tuple[Tensor, Tensor]:
    """Where the points seen in frame `target` are in frame `source`, `h w 2` from -1 to 1, and which are seen there.

    Raises ValueError when the truth has no such frames.
    """
    count, height, width = truth.depth.shape
    if not (0 <= source < count and 0 <= target < count):
        raise ValueError(f"frames {source} and {target} were asked for, but the clip has {count}")
    fx, fy, cx, cy = (float(truth.intrinsics[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    depth = truth.depth[target]
    solid = depth.isfinite()
    depth = depth.where(solid, torch.ones(()))
    points = torch.stack(((u - cx) / fx * depth, (cy - v) / fy * depth, -depth), dim=-1)
    to_world, from_world = truth.poses[target], torch.linalg.inv(truth.poses[source])
    points = points @ to_world[:3, :3].T + to_world[:3, 3]
    points = points @ from_world[:3, :3].T + from_world[:3, 3]
    away = -points[..., 2]
    ahead = away.clamp(min=1e-3)
    place = torch.stack((
        (fx * points[..., 0] / ahead + cx) * 2 / width - 1, (cy - fy * points[..., 1] / ahead) * 2 / height - 1,
    ), dim=-1)  # fmt: skip
    there = look_up(truth.depth[source].nan_to_num(posinf=1e6)[None], place)[0]
    inside = (place.abs() < 1).all(-1) & (away > 0)
    return place, solid & inside & ((there - away).abs() < NEAR * away)


def look_up(picture: Tensor, place: Tensor) -> Tensor:
    """A picture `c h w` at places `h w 2`, bilinearly."""
    return F.grid_sample(picture[None], place[None], align_corners=False, padding_mode="border")[0]


def reprojection_error(video: Tensor, clip: Clip) -> float:
    """Mean absolute error of `video` (`3 t h w`) against its own last given frame, seen from where the camera is.

    Only points count that were seen in that frame and whose pixels the camera's way changes visibly.
    """
    assert clip.truth is not None
    real = clip.frames.permute(3, 0, 1, 2).float().div(255)
    source, errors = GIVEN - 1, []
    for target in range(GIVEN, video.shape[1]):
        place, seen = seen_again(clip.truth, source, target)
        seen &= (real[:, target] - real[:, source]).abs().amax(0) > VISIBLE
        errors.append((video[:, target] - look_up(video[:, source], place)).abs().mean(0)[seen])
    every = torch.cat(errors)
    return float(every.mean()) if len(every) else 0.0


def geometry_report(bench: Bench) -> dict[str, dict[str, float]]:
    """The reprojection error of continued clips, beside rendered ones and ones in which the camera stops."""
    kinds: dict[str, list[float]] = {"generated": [], "rendered": [], "compressed": [], "camera stops": []}
    seconds = (SHAPE.num_frames - GIVEN) / SHAPE.fps
    for part in batches(camera_prompts(bench.seeds)):
        clips = [film(prompt) for prompt in part]
        real = torch.stack([clip.frames.permute(3, 0, 1, 2) for clip in clips]).float().div(255)
        given, denoiser = real[:, :, :GIVEN], bench.denoiser([prompt.text for prompt in part])
        latent, edit = recipes.extend_video(
            bench.sora, given, denoiser, SHAPE.fps, part[0].seed, after=seconds, sampling=bench.sampling(len(part))
        )
        rebuilt = bench.rebuilt(real)
        stopped = torch.cat([given, given[:, :, -1:].expand(-1, -1, SHAPE.num_frames - GIVEN, -1, -1)], dim=2)
        # Long latent frames are gone on from at their end, without the frames before that.
        continued = bench.decode(latent, edit.num_frames, edit.known.given)
        continued = torch.cat([given[:, :, : edit.source], continued], dim=2)
        made = {"generated": continued, "rendered": real, "compressed": rebuilt, "camera stops": stopped}
        for kind, videos in made.items():
            kinds[kind] += [reprojection_error(video, clip) for video, clip in zip(videos, clips, strict=True)]
    return {"reprojection error": {kind: round(mean(errors), 4) for kind, errors in kinds.items()}}
