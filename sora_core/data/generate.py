"""Rendering a training set: shards of sandbox clips in many sizes and frame rates, resumable and deterministic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..randomness import generator
from .store import write_shard
from .worlds import render, sample_scene

SIZES = (
    (64, 64), (64, 96), (96, 64), (64, 64), (80, 80), (64, 112), (64, 64), (96, 96), (112, 64), (64, 64),
    (128, 128), (64, 144), (64, 64), (144, 64), (96, 128), (128, 96),
)  # fmt: skip
"""Height and width of successive shards; all are whole numbers of 16-pixel patches."""
RATES = (8.0, 8.0, 12.0, 8.0, 4.0, 8.0, 16.0)
"""Frames per second of successive shards."""


def generate_shards(
    out: Path, *, shards: int, first: int = 0, clips: int = 96, num_frames: int = 17, seed: int = 0,
    stride: int = 1, say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Render shards `first`, `first + stride`, ... below `first + shards * stride`, skipping those that exist.

    Scenes avoid the held-out combinations; one clip in ten is periodic, its loop as long as the clip.
    """
    out.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + shards * stride, stride):
        height, width = SIZES[index % len(SIZES)]
        fps = RATES[index % len(RATES)]
        periodic = index % 10 == 9
        path = out / f"sandbox_{index:05d}_{num_frames}x{height}x{width}.safetensors"
        if path.exists():
            continue
        draws = generator(seed, "shard", index)
        # A loop of whole latent cells has one frame less than a clip that starts with a still.
        frames, labels, length = [], [], num_frames - 1 if periodic else num_frames
        for _ in range(clips):
            seconds = length / fps
            scene = sample_scene(draws, periodic=seconds if periodic else None, held_out=False, seconds=seconds)
            clip = render(scene, length, height, width, fps, want_truth=False)
            frames.append(clip.frames)
            labels.append(torch.tensor(clip.attributes.indices(), dtype=torch.uint8))
        about = {"fps": fps, "world": "sandbox", "periodic": periodic, "seed": seed}
        write_shard(path, torch.stack(frames), torch.stack(labels), about)
        say(f"{path.name}: {clips} clips")
