"""A clip of any world, a few frames at a time, with a mask of what it is about and with how near everything is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import arcade, painter, render, sample_scene
from .scene import Scene

AT_ONCE = 2**18
"""Pixels drawn at a time, if one frame does not have more: 16 frames of 128x128."""


class Part(NamedTuple):
    """Some frames (t h w 3) uint8, and what the renderer knows of them, both (t h w).

    `mask` is 1 where the main toy, the paint or what was eaten is seen, `nearness` 1 over the distance along the view
    in world units, 0 in the sky. What a world does not know is 0 everywhere.
    """

    frames: Tensor
    mask: Tensor
    nearness: Tensor


def scene_for(
    world: str, draws: torch.Generator, attributes: Any = None, *, seconds: float, loop: bool = False
) -> Any:  # fmt: skip
    """A scene of one of `WORLDS` that is planned for so many seconds, for the given attributes or for drawn ones.

    Raises ValueError for a loop of another world than the sandbox.
    """
    if world == "sandbox":
        return sample_scene(draws, attributes, seconds if loop else None, seconds=seconds)
    if loop:
        raise ValueError(
            "a loop was asked for, but only toys have loops, as what is painted or hit stays so; turn loop off"
        )
    return {"painter": painter, "arcade": arcade}[world].sample_scene(draws, attributes, seconds=seconds)


def film(scene: Any, num_frames: int, height: int, width: int, fps: float) -> Iterator[Part]:
    """The first `num_frames` frames of a scene, in parts of about `AT_ONCE` pixels."""
    at_once = max(1, AT_ONCE // (height * width))
    for first in range(0, num_frames, at_once):
        yield _part(scene, min(at_once, num_frames - first), height, width, fps, first / fps)


def _part(scene: Any, num_frames: int, height: int, width: int, fps: float, start: float) -> Part:
    how = num_frames, height, width, fps, start
    if isinstance(scene, Scene):
        clip = render(scene, *how)
        assert clip.truth is not None
        return Part(clip.frames, (clip.truth.mask == 1).float(), clip.truth.depth.reciprocal())
    if isinstance(scene, painter.PainterScene):
        painted = painter.render(scene, *how)
        assert painted.truth is not None
        return Part(painted.frames, painted.truth.seen.float(), torch.zeros(num_frames, height, width))
    nothing = torch.zeros(num_frames, height, width)
    return Part(arcade.render(scene, *how).frames, nothing, nothing)
