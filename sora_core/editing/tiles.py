"""Pictures far larger than a model was made for: overlapping tiles of each frame, denoised apart and blended."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..diffusion.samplers import Denoiser
from ..shapes import LatentShape

COMFORTABLE = 4096
"""Tokens in one tile of one window; attention costs their square, and models know no larger pictures than they saw."""


def fitting_tile(
    latent: LatentShape, frames: int, patch: tuple[int, int, int], tokens: int = COMFORTABLE
) -> int | None:
    """Latent cells of a tile's side so that `frames` latent frames of it are at most `tokens`; None if all of it fits.

    Decided from the size alone, so that the same request makes the same video on every machine.
    """
    t, h, w = patch
    if math.ceil(frames / t) * (latent.height // h) * (latent.width // w) <= tokens:
        return None
    side = math.isqrt(max(16, tokens // math.ceil(frames / t)))
    return side * max(h, w)


def tile_starts(size: int, tile: int, overlap: int, step: int) -> list[int]:
    """Where tiles begin, evenly spread, on multiples of `step`, each sharing `overlap` or more with its neighbours.

    A `tile` is a multiple of `step`; of a `size` that is none, the last one has less. Neighbours are at least one step
    apart, whatever the overlap.
    Raises ValueError when the overlap is not shorter than the tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"the overlap is {overlap} latent cells; it must be at least 0 and below the tile's {tile}")
    if size <= tile:
        return [0]
    stride = max(1, (tile - overlap) // step)
    steps = math.ceil((size - tile) / step)
    count = math.ceil(steps / stride)
    return [steps * i // count * step for i in range(count + 1)]


def blended(
    x: Tensor, tile: int, overlap: int, step: tuple[int, int], predict: Callable[[slice, slice], Tensor]
) -> Tensor:
    """Predictions for `x` `... h w` from those for `tile` x `tile` cells of it, with weights that fall to their edges.

    `predict` is given rows and columns, which begin on multiples of `step`; a frame that is one tile is left to it as a
    whole.
    """
    h, w = x.shape[-2:]
    if h <= tile and w <= tile:
        return predict(slice(0, h), slice(0, w))
    total, weights = torch.zeros_like(x), x.new_zeros(h, w)
    height, width = min(tile, h), min(tile, w)
    weight = _hill(height)[:, None].to(x) * _hill(width).to(x)
    for top in tile_starts(h, tile, overlap, step[0]):
        for left in tile_starts(w, tile, overlap, step[1]):
            rows, columns = slice(top, min(top + height, h)), slice(left, min(left + width, w))
            share = weight[: rows.stop - top, : columns.stop - left]
            total[..., rows, columns] += share * predict(rows, columns)
            weights[rows, columns] += share
    return total / weights


def tiled(model: Denoiser, tile: int, overlap: int, patch: tuple[int, int, int]) -> Denoiser:
    """A denoiser that sees `tile` x `tile` latent cells at a time.

    `tile` is a multiple of the patch. Every step blends, so that tiles agree from the first one on (Bar-Tal et al.,
    MultiDiffusion, 2023).
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        def predict(rows: slice, columns: slice) -> Tensor:
            return model(x[..., rows, columns], _cut_levels(sigma, x, rows, columns, patch))

        return blended(x, tile, overlap, patch[1:], predict)

    return denoise


def cut_conditions(conditions: Any, size: tuple[int, ...], rows: slice, columns: slice) -> Any:
    """A tile of every picture and video `b c ... h w` of the height and width of `size`, in dicts and lists."""
    if isinstance(conditions, Tensor):
        pictured = conditions.ndim >= 4 and conditions.shape[-2:] == size[-2:]
        return conditions[..., rows, columns] if pictured else conditions
    if isinstance(conditions, dict):
        return {key: cut_conditions(value, size, rows, columns) for key, value in conditions.items()}
    if isinstance(conditions, list):
        return [cut_conditions(value, size, rows, columns) for value in conditions]
    return conditions


def _hill(size: int) -> Tensor:
    """Weights that rise from the edges of a tile to its middle, never 0."""
    centred = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    return (size + 1) / 2 - centred.abs()


def _cut_levels(sigma: Tensor, x: Tensor, rows: slice, columns: slice, patch: tuple[int, int, int]) -> Tensor:
    """The noise levels of a tile: those for each patch, `b n`, are cut like the picture."""
    if sigma.ndim == 1:
        return sigma
    grid = [size // p for size, p in zip(x.shape[2:], patch, strict=True)]
    levels = sigma.reshape(-1, *grid)
    area = [slice(part.start // p, part.stop // p) for part, p in zip((rows, columns), patch[1:], strict=True)]
    return levels[:, :, area[0], area[1]].flatten(1)
