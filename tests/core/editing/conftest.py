"""A nano Sora with random weights: everything that must hold whatever the weights are."""

import pytest
import torch

from sora_core.checkpoint import build_parts
from sora_core.config import preset
from sora_core.editing.recipes import geometry_of
from sora_core.editing.regenerate import Sampling
from sora_core.pipeline import Sora


@pytest.fixture(scope="package")
def sora() -> Sora:
    config = preset("nano")
    parts = build_parts(config)
    generator = torch.Generator().manual_seed(1)
    for part in parts.values():
        for parameter in part.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.requires_grad_(False).normal_(std=fan_in**-0.5, generator=generator)
    return Sora(config, parts["dit"], parts["vae"], parts["text"])


@pytest.fixture(scope="package")
def geometry(sora):
    return geometry_of(sora)


@pytest.fixture(scope="package")
def few() -> Sampling:
    return Sampling(steps=3)


def clip(num_frames: int, seed: int = 0, height: int = 32, width: int = 32) -> torch.Tensor:
    """A smooth moving video `1 3 t h w` in [0, 1]."""
    t = torch.arange(num_frames).float()[:, None, None]
    y, x = torch.arange(height).float()[:, None] / height, torch.arange(width).float() / width
    phases = torch.rand(3, generator=torch.Generator().manual_seed(seed))
    return torch.stack([0.5 + 0.5 * torch.sin(6 * (x + y * (c + 1)) + 0.3 * t + 6 * phases[c]) for c in range(3)])[None]


@pytest.fixture(scope="package")
def make_clip():
    return clip


def gaussian(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The exact denoiser of latents that are unit Gaussian noise, at a level `b` or one level per 1x2x2 patch, `b n`.

    Random weights predict the same whatever they are shown; this model, like a trained one, keeps what it can see.
    """
    b, _, t, h, w = x.shape
    level = sigma[:, None].expand(b, t * h * w // 4) if sigma.ndim == 1 else sigma
    level = level.reshape(b, 1, t, h // 2, w // 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    return x * (1 - level) / ((1 - level).square() + level.square())


@pytest.fixture(scope="package")
def exact():
    return gaussian
