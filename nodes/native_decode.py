"""Decoding with any VAE: whole when memory allows, else in overlapping parts along time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from sora_core.out_of_memory import is_out_of_memory
from sora_core.shapes import Compression

OVERLAP = 4
"""Latent frames that a part sees on either side of itself: what lies further away hardly changes a causal decoder."""


def decode_native(vae: Any, video: Tensor, cells: Compression, chunk: int) -> Iterator[Tensor]:
    """Frames `t h w 3` of one video `1 c t h w` (or image `1 c h w`), whole or part by part.

    Parts equal the whole away from their borders only, so that they are the last resort.
    """
    if video.ndim == 4 or video.shape[2] == 1 or fits(vae, video, cells):
        try:
            images = decoded(vae, video)
        except (MemoryError, RuntimeError) as error:
            if video.ndim == 4 or video.shape[2] == 1 or not is_out_of_memory(error):
                raise
        else:
            yield images
            return
    logging.info("Sora: the video does not fit in memory at once and is decoded in parts that overlap")
    yield from decode_parts(vae, video, cells, max(chunk, OVERLAP))


def decoded(vae: Any, video: Tensor) -> Tensor:
    """All frames of one video, `t h w 3`."""
    images = vae.decode(video)
    return images.reshape(-1, *images.shape[-3:])[..., :3]


def decode_parts(vae: Any, video: Tensor, cells: Compression, chunk: int) -> Iterator[Tensor]:
    """Frames of `chunk` latent frames at a time, each decoded with its neighbours on both sides and cut out."""
    total, start = video.shape[2], 0
    while start < total:
        stop, first = min(start + chunk, total), max(0, start - OVERLAP)
        try:
            images = decoded(vae, video[:, :, first : min(stop + OVERLAP, total)])
        except (MemoryError, RuntimeError) as error:
            if chunk == 1 or not is_out_of_memory(error):
                raise
            chunk //= 2
            continue
        before = cells.num_frames(start - first) if start > first else 0
        yield images[before : cells.num_frames(stop - first)].clone()
        start = stop


def fits(vae: Any, video: Tensor, cells: Compression) -> bool:
    """Whether the whole can be decoded at once, by ComfyUI's own estimate and the size of the frames."""
    management = comfy.model_management
    frames = 12 * cells.num_frames(video.shape[2]) * video.shape[3] * video.shape[4] * cells.space**2
    work = vae.memory_used_decode(video.shape, vae.vae_dtype)
    free = management.get_free_memory(torch.device("cpu"))
    if management.is_device_cpu(vae.device):
        return work + 2 * frames < free
    # Other models make room on a device, so that all of it counts.
    return 2 * frames < free and work + frames < management.get_total_memory(vae.device)
