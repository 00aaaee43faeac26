"""Decoding with any VAE: whole when memory allows, else in overlapping parts along time, and in tiles if need be."""

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
SMALLEST = 16
"""Latent cells on each side of the smallest tile; of less, most would be overlap."""


def decode_native(vae: Any, video: Tensor, cells: Compression, chunk: int) -> Iterator[Tensor]:
    """Frames `t h w 3` of one video `1 c t h w` (or image `1 c h w`), whole or part by part.

    Parts and tiles equal the whole away from their borders only, so that they are the last resort.
    """
    if fits(vae, video.shape, cells):
        try:
            images = decoded(vae, video)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            yield images
            return
    logging.info("Sora: the video does not fit in memory at once and is decoded in parts that overlap")
    yield from decode_parts(vae, video, cells, max(chunk, OVERLAP))


def decoded(vae: Any, video: Tensor, tile: int | None = None) -> Tensor:
    """All frames of one video, `t h w 3`; with a `tile`, in squares of so many latent cells that are blended."""
    in_tiles = {"tile_x": tile, "tile_y": tile, "overlap": tile // 4} if tile else None
    images = vae.decode_tiled(video, **in_tiles) if in_tiles else vae.decode(video)
    return images.reshape(-1, *images.shape[-3:])[..., :3]


def decode_parts(vae: Any, video: Tensor, cells: Compression, chunk: int) -> Iterator[Tensor]:
    """Frames of `chunk` latent frames at a time, each decoded with its neighbours on both sides and cut out.

    What is too much for the memory that is free is decoded in tiles; when it runs out after all, parts get shorter, and
    then tiles smaller.
    """
    total, start = (video.shape[2] if video.ndim == 5 else 1), 0
    chunk = min(chunk, total)
    tile = fitting_tile(vae, _part(video, 0, chunk + 2 * OVERLAP).shape, cells)
    while start < total:
        stop, first = min(start + chunk, total), max(0, start - OVERLAP)
        try:
            images = decoded(vae, _part(video, first, stop + OVERLAP), tile)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if chunk > 1:
                chunk //= 2
            elif (smaller := next_tile(video.shape, tile)) is not None:
                tile = smaller
            else:
                raise
            continue
        before = cells.num_frames(start - first) if start > first else 0
        yield images[before : cells.num_frames(stop - first)].clone()
        start = stop


def _part(video: Tensor, first: int, stop: int) -> Tensor:
    return video[:, :, first:stop] if video.ndim == 5 else video


def tiles(shape: torch.Size) -> list[int]:
    """Sizes of tiles for a latent `... h w`, each half of the one before."""
    sizes = [max(shape[-2:])]
    while sizes[-1] // 2 >= SMALLEST:
        sizes.append(sizes[-1] // 2)
    return sizes[1:]


def next_tile(shape: torch.Size, tile: int | None) -> int | None:
    """The next smaller tile for a latent `... h w`, or None when there is none."""
    return next((size for size in tiles(shape) if tile is None or size < tile), None)


def fitting_tile(vae: Any, shape: torch.Size, cells: Compression) -> int | None:
    """The largest tile with which a latent can be decoded: None for the whole, and the smallest if nothing fits."""
    options = [None, *tiles(shape)]
    return next((tile for tile in options if fits(vae, shape, cells, tile)), options[-1])


def fits(vae: Any, shape: torch.Size, cells: Compression, tile: int | None = None) -> bool:
    """Whether it can be decoded at once, or a tile at a time, by ComfyUI's own estimate and the size of the frames.

    Older versions of ComfyUI make one more copy of them than newer ones, which map them to [0, 1] in place.
    """
    management = comfy.model_management
    frames = 12 * cells.num_frames(shape[2] if len(shape) == 5 else 1) * shape[-2] * shape[-1] * cells.space**2
    at_once = shape if tile is None else (*shape[:-2], min(tile, shape[-2]), min(tile, shape[-1]))
    work = vae.memory_used_decode(at_once, vae.vae_dtype)
    free = management.get_free_memory(torch.device("cpu"))
    if management.is_device_cpu(vae.device):
        return work + 2 * frames < free
    probe = torch.zeros(1)
    copies = 2 if vae.process_output(probe) is probe else 3
    # Other models make room on a device, so that all of it counts.
    return copies * frames < free and work + frames < management.get_total_memory(vae.device)
