"""Prompts that hold at different times of one video: predictions for each are mixed frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..diffusion.samplers import Denoiser
from ..text.timeline import Segment, weights_at
from .geometry import Geometry


def timeline_weights(
    segments: list[Segment], geometry: Geometry, latent_frames: int, fps: float, blend_seconds: float = 0.5
) -> Tensor:
    """How much of each prompt holds in each latent frame, `p t`, at the centre of the frames it stands for.

    Raises ValueError when a prompt begins after the video's end, or holds at the centre of no latent frame.
    """
    seconds = geometry.num_frames(latent_frames) / fps
    for segment in segments:
        if segment.start >= seconds:
            raise ValueError(
                f'"{segment.prompt[:40]}" begins at {segment.start:g} s but the video lasts {seconds:g} s; make the'
                " video longer or the times earlier"
            )
    centres = [(sum(geometry.span(j)) - 1) / 2 / fps for j in range(latent_frames)]
    weights = torch.tensor([weights_at(segments, t, blend_seconds) for t in centres]).T
    for segment, held in zip(segments, weights, strict=True):
        if not held.any():
            raise ValueError(
                f'"{segment.prompt[:40]}" holds in no latent frame, whose middles are at'
                f" {', '.join(f'{t:.2f}' for t in centres[:9])}{' ...' if latent_frames > 9 else ''} s; make it longer"
            )
    return weights


def timed(models: Sequence[Denoiser], weights: Tensor) -> Denoiser:
    """One denoiser from several, mixed with `weights` `p t` that sum to 1 in each latent frame.

    Mixing predictions rather than text states works for every text encoder; it costs one evaluation per prompt
    (the temporal form of MultiDiffusion's region prompts, Bar-Tal et al., 2023).
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        parts = [weight.to(x)[:, None, None] * model(x, sigma) for model, weight in zip(models, weights, strict=True)]
        return torch.stack(parts).sum(0)

    return denoise
