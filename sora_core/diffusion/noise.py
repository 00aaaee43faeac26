"""Noise drawn per sample and per latent frame, so that neither batch, device nor duration changes anyone's video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..randomness import generator
from ..shapes import LatentShape


def draw_noise(shape: LatentShape, seeds: Sequence[int], cells: Iterable[int] | None = None) -> Tensor:
    """Unit Gaussian noise `b c t h w`, one sample per seed, on the CPU in float32.

    Every latent frame has its own stream: a longer video begins with a shorter one's noise. `cells` are the numbers of
    the latent frames in a longer video of which `shape` is a part. Raises ValueError unless there is one for each.
    """
    frame = (shape.channels, shape.height, shape.width)
    numbers = list(range(shape.frames) if cells is None else cells)
    if len(numbers) != shape.frames:
        raise ValueError(f"{len(numbers)} cells are numbered for {shape.frames} latent frames; give one for each")
    samples = [
        torch.stack([torch.randn(frame, generator=generator(seed, "noise", t)) for t in numbers], dim=1)
        for seed in seeds
    ]
    return torch.stack(samples)
