"""Rendering a training set: shards of one world's clips in many sizes and frame rates, resumable and deterministic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from ..randomness import generator
from .store import Shard, write_shard
from .worlds.catalogue import WORLDS, film_sandbox, film_stills
from .worlds.scene import USUAL, Mix

SIZES = (
    (64, 64), (64, 96), (96, 64), (64, 64), (80, 80), (64, 112), (64, 64), (96, 96), (112, 64), (64, 64),
    (128, 128), (64, 144), (64, 64), (144, 64), (96, 128), (128, 96), (48, 48), (160, 96), (48, 96), (96, 160),
)  # fmt: skip
"""Height and width of successive shards, whole numbers of patches."""
PATCH = 16
"""Pixels along a side of a spacetime patch of Sora Mini: 8 of a latent cell, and 2 cells."""
RATES = (8.0, 8.0, 12.0, 8.0, 4.0, 8.0, 16.0)
"""Frames per second of successive shards."""


def generate_shards(
    out: Path, *, world: str = "sandbox", shards: int, first: int = 0, clips: int = 96, num_frames: int = 17,
    seed: int = 0, stride: int = 1, size: tuple[int, int] | None = None, mix: Mix | None = None,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Render shards `first`, `first + stride`, ... below `first + shards * stride`, skipping those that exist.

    Scenes avoid the held-out combinations; where a world has loops, one shard in ten has them, as long as the clip.
    All clips are of `size`, height and width in pixels, or else each shard of the next of `SIZES`.
    `mix` says how many of the sandbox's scenes have a second subject or something in front; with one frame they are
    stills, none of which are loops.
    Raises ValueError for a world that there is not, for one frame or a mix of another world than the sandbox, for a
    size of no whole patches, and for a shard that exists with another seed, number of clips or mix.
    """
    if world not in WORLDS:
        raise ValueError(f"there is no world {world!r}; choose from {', '.join(WORLDS)}")
    if mix is not None and world != "sandbox":
        raise ValueError(f"a share of pairs or walls was given, but only the sandbox has them, not {world}")
    if num_frames == 1 and world != "sandbox":
        raise ValueError(f"one frame was asked for, but only the sandbox has stills, not {world}")
    if size is not None and (min(size) < PATCH or any(side % PATCH for side in size)):
        down, across = (max(1, round(side / PATCH)) * PATCH for side in size)
        raise ValueError(
            f"clips of {size[1]}x{size[0]} pixels are no whole patches of {PATCH}; choose for instance {across}x{down}"
        )
    film = WORLDS[world].film if mix is None else partial(film_sandbox, mix=mix)
    shares = asdict(mix or USUAL) if world == "sandbox" else {}
    out.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + shards * stride, stride):
        height, width = size or SIZES[index % len(SIZES)]
        fps = RATES[index % len(RATES)]
        periodic = WORLDS[world].loops and index % 10 == 9 and num_frames > 1
        path = out / f"{world}_{index:05d}_{num_frames}x{height}x{width}.safetensors"
        if path.exists():
            shard = Shard.open(path)
            if (shard.clips, shard.about.get("seed")) != (clips, seed):
                raise ValueError(
                    f"{path.name} is there with {shard.clips} clips of seed {shard.about.get('seed')}, not {clips} of"
                    f" {seed}; choose another folder or other numbers, or delete it"
                )
            there = shard.about.get("mix", shares)  # older versions did not write it
            if there != shares:
                raise ValueError(
                    f"{path.name} is there with {_told(there)}, not {_told(shares)}; choose another folder or other"
                    " numbers, or delete it"
                )
            say(f"{path.name}: kept")
            continue
        draws = generator(seed, "shard", index) if world == "sandbox" else generator(seed, "shard", world, index)
        # A loop of whole latent cells has one frame less than a clip that starts with a still.
        length = num_frames - 1 if periodic else num_frames
        loop = length / fps if periodic else None
        if num_frames == 1:
            drawn = film_stills(draws, clips, height, width, mix or USUAL)
        else:
            drawn = [film(draws, length, height, width, fps, loop) for _ in range(clips)]
        labels = torch.tensor([indices for _, indices in drawn], dtype=torch.uint8)
        about = {"fps": fps, "world": world, "periodic": periodic, "seed": seed, "mix": shares}
        write_shard(path, torch.stack([frames for frames, _ in drawn]), labels, about)
        say(f"{path.name}: {clips} clips")


def _told(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:g}" for name, share in shares.items())
