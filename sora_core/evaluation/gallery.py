"""Pictures of the README, made by the shipped weights: `python -m sora_core.evaluation.gallery`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import BUNDLED
from ..editing.recipes import loop
from ..editing.regenerate import Sampling
from ..pipeline import DEFAULT_STEPS, Sora
from ..shapes import VideoShape
from ..video import VideoWriter

CLIPS = (
    ("A red car drives to the right in a green meadow during the day.", 11),
    ("A yellow duck floats to the right on the sea at sunset.", 12),
    ("A blue car drives to the left through a neon city at night.", 13),
    ("A green rocket rises on mars during the day, the camera is still.", 14),
    ("雪地里，夜晚，一个紫色的蘑菇静止不动。", 15),
    ("An orange house in the desert at sunset, the camera orbits around it.", 16),
    ("A pink donut rolls on a checkered studio floor during the day.", 17),
    ("A cyan snowman spins in the snow at sunset.", 18),
)
"""Prompt and seed of each clip of the README's picture."""
LOOPS = (
    ("A green house in the desert during the day, the camera orbits around it.", 21),
    ("A yellow duck spins on the sea at sunset.", 22),
    ("A red cube spins in a neon city at night.", 23),
    ("A pink snowman spins in the snow during the day.", 24),
)
"""Prompt and seed of each seamless loop."""
ROUNDS = 4


def clip(sora: Sora, prompt: str, seed: int, shape: VideoShape) -> Tensor:
    """One clip, `3 t h w` in [0, 1]."""
    latent = sora.sample([prompt], shape, [seed], steps=DEFAULT_STEPS)
    return torch.cat(list(sora.decode(latent, shape)), dim=1)


def seamless(sora: Sora, prompt: str, seed: int, shape: VideoShape) -> Tensor:
    """One loop, `3 t h w` in [0, 1]: its last frame leads to its first."""
    latent = loop(sora, prompt, shape, seed, sampling=Sampling(steps=DEFAULT_STEPS))
    return sora.frames(latent, circular=True)[0]


def mosaic(videos: list[Tensor], columns: int) -> Tensor:
    """Clips of one size side by side, `columns` in a row: `3 t h w`."""
    rows = [torch.cat(videos[i : i + columns], dim=3) for i in range(0, len(videos), columns)]
    return torch.cat(rows, dim=2)


def save_animation(video: Tensor, path: Path, fps: float) -> None:
    """Write `3 t h w` in [0, 1] as an endless animated WebP."""
    from PIL import Image

    frames = video.mul(255).round().byte().permute(1, 2, 3, 0).contiguous().numpy()
    first, *rest = [Image.fromarray(frame) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    first.save(path, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, quality=80, method=6)


def save_rounds(video: Tensor, path: Path, fps: float) -> None:
    """Write the loop `3 t h w` as a video that plays it several times."""
    with VideoWriter(path, video.shape[3], video.shape[2], fps) as writer:
        for _ in range(ROUNDS):
            writer.write(video.permute(1, 2, 3, 0))


def main() -> None:
    """Make every picture and print its prompts and seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=BUNDLED)
    parser.add_argument("--out", type=Path, default=Path("web/docs/media"))
    parser.add_argument("--size", type=int, default=128, help="pixels of each clip's sides (default: 128)")
    arguments = parser.parse_args()
    sora = Sora.load(arguments.checkpoint)
    shape = VideoShape(num_frames=17, height=arguments.size, width=arguments.size, fps=8)
    videos = []
    for prompt, seed in CLIPS:
        print(f"seed {seed}: {prompt}", flush=True)
        videos.append(clip(sora, prompt, seed, shape))
    save_animation(mosaic(videos, 4), arguments.out / "mini.webp", shape.fps)
    videos = []
    for prompt, seed in LOOPS:
        print(f"loop, seed {seed}: {prompt}", flush=True)
        videos.append(seamless(sora, prompt, seed, replace(shape, num_frames=16)))
    save_animation(mosaic(videos, 4), arguments.out / "loop.webp", shape.fps)
    save_rounds(mosaic(videos, 4), arguments.out / "loop.mp4", shape.fps)


if __name__ == "__main__":
    main()
