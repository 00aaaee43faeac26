"""All worlds by name: how clips of each are filmed, labelled and told; shards hold only names and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import arcade, arcade_captions, captions, painter, painter_captions, render, render_images, sample_scene
from .attributes import Attributes
from .captions import Caption
from .scene import USUAL, Mix

Film = Callable[[torch.Generator, int, int, int, float, float | None], tuple[Tensor, tuple[int, ...]]]
"""Draws a clip: generator, frames, height, width, fps, seconds of a loop -> frames (t h w 3) uint8 and labels."""


def film_sandbox(
    draws: torch.Generator, num_frames: int, height: int, width: int, fps: float, loop: float | None,
    mix: Mix = USUAL,
) -> tuple[Tensor, tuple[int, ...]]:  # fmt: skip
    """The sandbox's film; `mix` says how many scenes have a second subject or something in front."""
    scene = sample_scene(draws, periodic=loop, held_out=False, mix=mix, seconds=num_frames / fps)
    clip = render(scene, num_frames, height, width, fps, want_truth=False)
    return clip.frames, clip.attributes.indices()


def film_stills(
    draws: torch.Generator, count: int, height: int, width: int, mix: Mix = USUAL
) -> list[tuple[Tensor, tuple[int, ...]]]:
    """One frame each of as many scenes of the sandbox: together they are drawn much faster than one by one."""
    scenes = [sample_scene(draws, held_out=False, mix=mix) for _ in range(count)]
    moments = (2 * torch.rand(count, generator=draws)).tolist()
    frames = render_images(scenes, moments, height, width)
    return [(frame[None], scene.attributes.indices()) for frame, scene in zip(frames, scenes, strict=True)]


def _film_flat(world: Any) -> Film:
    def film(
        draws: torch.Generator, num_frames: int, height: int, width: int, fps: float, loop: float | None
    ) -> tuple[Tensor, tuple[int, ...]]:
        if loop is not None:
            raise ValueError("a loop was asked for, but only the sandbox has loops: what is painted or hit stays so")
        scene = world.sample_scene(draws, seconds=num_frames / fps)
        clip = world.render(scene, num_frames, height, width, fps, want_truth=False)
        return clip.frames, clip.attributes.indices()

    return film


@dataclass(frozen=True, kw_only=True)
class World:
    """One kind of clips: `sheet` has the labels' values, `film` draws a clip and `compose` says what one shows."""

    sheet: Any
    film: Film
    compose: Callable[[Any, torch.Generator, str, str], Caption]
    loops: bool
    """Whether clips can be loops."""
    mirrors: bool
    """Whether a clip seen in a mirror is one of this world: games run to the right and are read so."""


WORLDS: dict[str, World] = {
    "sandbox": World(
        sheet=Attributes, film=film_sandbox, compose=captions.compose, loops=True, mirrors=True,
    ),
    "painter": World(
        sheet=painter.PainterAttributes, film=_film_flat(painter), compose=painter_captions.compose,
        loops=False, mirrors=True,
    ),
    "arcade": World(
        sheet=arcade.ArcadeAttributes, film=_film_flat(arcade), compose=arcade_captions.compose,
        loops=False, mirrors=False,
    ),
}  # fmt: skip
"""Every world whose clips `sora worlds` renders."""


def mirrors(world: str) -> bool:
    """Whether clips of a world, or of footage that is of none, may be seen in a mirror."""
    return world not in WORLDS or WORLDS[world].mirrors


def shown(world: str, labels: tuple[int, ...], *, mirrored: bool = False) -> Any:
    """The world's sheet of the clip with these labels, or of its mirror image; None for footage that is of no world."""
    if world not in WORLDS:
        return None
    attributes = WORLDS[world].sheet.from_indices(labels)
    return attributes.mirrored() if mirrored and isinstance(attributes, Attributes) else attributes
