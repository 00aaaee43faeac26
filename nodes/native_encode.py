"""Encoding with any VAE: whole when memory allows, else in parts along time, and in tiles if need be.

Each part is encoded with some of what came before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from sora_core.editing.geometry import Geometry
from sora_core.editing.place import held
from sora_core.out_of_memory import is_out_of_memory
from sora_core.pixels import to_floats

from .editing_media import encoder
from .native_decode import OVERLAP, next_tile, tiles


def encode_native(vae: Any, geometry: Geometry, chunks: Iterator[Tensor], total: int, count: int) -> Tensor:
    """The latent `1 c t h w` of `total` frames that come as chunks `t h w 3`, bytes or floats in [0, 1].

    Parts of `count` latent frames equal the whole away from their beginnings only, so that they are the last resort.
    """
    first = next(chunks)
    if fits(vae, total, *first.shape[1:3]):
        whole = torch.cat([as_video(first, geometry), *(as_video(part, geometry) for part in chunks)], dim=2)
        whole = held(whole, 0, geometry.num_frames(geometry.latent_frames(whole.shape[2])))
        try:
            return encoder(vae)(whole)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            chunks = iter(whole[0].movedim(0, -1).split(16))  # each part copies what is left of its last chunk
    else:
        chunks = _chained(first, chunks)
    logging.info("Sora: the video does not fit in memory at once and is encoded in parts that overlap")
    return torch.cat(list(encode_parts(vae, geometry, chunks, max(count, OVERLAP))), dim=2)


def encode_parts(vae: Any, geometry: Geometry, chunks: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """Latents of `count` latent frames at a time, each encoded with `OVERLAP` cells before it, which are cut off.

    A part from the middle begins with one frame, the last of a cell, as a causal encoder wants its first one.
    What is too much for the memory that is free is encoded in tiles; when it runs out after all, parts get shorter, and
    then tiles smaller.
    Raises ValueError for a VAE whose cells in the middle of a video are not those at its beginning, and when there is
    too little memory for one latent frame.
    """
    frames, begin, ended, start = torch.zeros(1, 3, 0, 1, 1), 0, False, 0
    tile, known = None, False
    while True:
        wanted = geometry.num_frames(start + count) - begin
        while frames.shape[2] < wanted and not ended:
            chunk = next(chunks, None)
            ended = chunk is None
            if chunk is not None:
                video = as_video(chunk, geometry)
                frames = torch.cat([frames, video], dim=2) if frames.shape[2] else video
        stop = min(start + count, geometry.latent_frames(begin + frames.shape[2]))
        if stop <= start:
            return
        size = geometry.num_frames(stop) - begin
        part = held(frames[:, :, :size], 0, size)
        context = 0 if not begin else geometry.cell_of(begin)
        cells = torch.Size(side // geometry.space for side in part.shape[-2:])
        if not known:
            tile, known = fitting_tile(vae, geometry, part.shape[2], cells), True
        try:
            latent = encoder(vae, tile)(part)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if count > 1:
                count //= 2
            elif not vae.not_video and (smaller := next_tile(cells, tile)) is not None:
                tile = smaller
            else:
                height, width = part.shape[-2:]
                raise ValueError(
                    f"there is too little memory to encode even one latent frame of {width}x{height}: close other"
                    " programs, or make the video smaller"
                ) from None
            continue
        if latent.shape[2] != stop - context:
            raise ValueError(
                f"this VAE cannot encode a video in parts: {part.shape[2]} frames gave {latent.shape[2]} latent frames"
                f" instead of {stop - context}; make the video shorter or smaller"
            )
        yield latent[:, :, start - context :]
        start = stop
        again = max(0, start - OVERLAP)
        keep = geometry.span(again)[1] - 1 if again else 0
        frames, begin = frames[:, :, keep - begin :].clone(), keep


def as_video(frames: Tensor, geometry: Geometry) -> Tensor:
    """Frames `t h w 3` as `1 3 t h w` in [0, 1], whole cells wide and high."""
    return geometry.pad(to_floats(frames).movedim(-1, 0)[None])


def fitting_tile(vae: Any, geometry: Geometry, num_frames: int, cells: torch.Size) -> int | None:
    """The largest tile, in latent cells, with which frames of `cells` (h w) can be encoded; None for the whole."""
    options = [None, *([] if vae.not_video else tiles(cells))]
    for tile in options:
        height, width = (geometry.space * min(side, tile or side) for side in cells)
        if fits(vae, num_frames, height, width):
            return tile
    return options[-1]


def fits(vae: Any, num_frames: int, height: int, width: int) -> bool:
    """Whether the whole can be encoded at once, by ComfyUI's own estimate and the size of the frames.

    ComfyUI maps them to [-1, 1] before they go to a card, in two steps that both copy them.
    """
    management = comfy.model_management
    work = vae.memory_used_encode((1, 3, num_frames, height, width), vae.vae_dtype)
    frames = 12 * num_frames * height * width
    free = management.get_free_memory(torch.device("cpu"))
    if management.is_device_cpu(vae.device):
        return work + 2 * frames < free
    return 3 * frames < free and work + frames < management.get_total_memory(vae.device)


def _chained(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest
