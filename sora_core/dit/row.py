"""How sequences lie in a row: the text of each before its patches, and the place and noise level of every token."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from ..patches import positions, still_tokens
from ..shapes import Compression
from .rope import axis_pairs, rotations, whole_rows

_KEPT_CELLS = 1 << 16
"""Rows of more latent cells are placed anew in every pass: keeping their rotations would cost more memory than time."""


@lru_cache(maxsize=64)
def row_order(lengths: tuple[int, ...], text_tokens: int) -> tuple[Tensor, Tensor]:
    """How [all text | all patches] is interleaved to [text 0, patches 0, text 1, ...], and where patches end up."""
    text_total, order, patches, start, place = text_tokens * len(lengths), [], [], 0, 0
    # What is kept here must serve training too, even when sampling asked for it first.
    with torch.inference_mode(False):
        for i, length in enumerate(lengths):
            order += [torch.arange(i * text_tokens, (i + 1) * text_tokens)]
            order += [torch.arange(text_total + start, text_total + start + length)]
            patches += [torch.arange(place + text_tokens, place + text_tokens + length)]
            start, place = start + length, place + text_tokens + length
        return torch.cat(order), torch.cat(patches)


def row_rotations(cos: Tensor, sin: Tensor, order: Tensor, text: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of all patches of a row (`n head_dim/2`) -> those of its tokens, `text` of them words.

    The results are `n head_dim`, as `rotate` takes them.
    """
    # Text has no place in time: without temporal components, no patch can tell by it when it is.
    timeless = torch.arange(cos.shape[1], device=cos.device) >= axis_pairs(head_dim)[0]
    cos = torch.cat([timeless.to(cos).expand(text, -1), cos])[order]
    sin = torch.cat([sin.new_zeros(text, sin.shape[1]), sin])[order]
    return whole_rows(cos, sin)


def row_levels(
    sigma: Tensor, order: Tensor, lengths: tuple[int, ...], text_tokens: int
) -> tuple[Tensor, Tensor | None]:
    """Distinct noise levels `m` of a row whose patches have `sigma` `n`, and the level of each token, None for one.

    A text token shares the highest noise level of its sequence: the one that is being removed.
    """
    highest = torch.stack([part.max() for part in sigma.split(lengths)])
    return distinct(torch.cat([highest.repeat_interleave(text_tokens), sigma])[order])


def distinct(sigma: Tensor) -> tuple[Tensor, Tensor | None]:
    """Noise levels `m` without repetition and the place of each `sigma` `n` among them, None where there is but one.

    How many there are is no question for a compiled graph, so there every one counts as its own.
    """
    if torch.compiler.is_compiling():
        levels, place = sigma, torch.arange(len(sigma), device=sigma.device)
    else:
        levels, place = torch.unique(sigma, return_inverse=True)
    return levels, None if len(levels) == 1 else place


def grid_row(
    cells: tuple[int, int, int], patch: tuple[int, int, int], compression: Compression, head_dim: int, text_tokens: int,
    batch: int, *, fps: float, start: float, whole: bool, circular: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Rotations of a row of `batch` clips of `cells` (t h w), as in `row_rotations`, and which patches are stills.

    Every step of a sampling asks for the same, so the last few are kept.
    """
    make = _grid_row if batch * math.prod(cells) <= _KEPT_CELLS else _grid_row.__wrapped__
    return make(cells, patch, compression, head_dim, text_tokens, batch, fps, start, whole, circular)


@lru_cache(maxsize=4)
def _grid_row(
    cells: tuple[int, int, int], patch: tuple[int, int, int], compression: Compression, head_dim: int, text_tokens: int,
    batch: int, fps: float, start: float, whole: bool, circular: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    with torch.inference_mode(False):
        where = positions(cells, patch, compression, fps, start=start, circular=whole)
        loop = cells[0] * compression.time / fps if circular else None
        cos, sin = (x.repeat(batch, 1) for x in rotations(where, head_dim, loop_seconds=loop))
        order, _ = row_order((len(where),) * batch, text_tokens)
        still = still_tokens(cells, patch, circular=whole).repeat(batch)
        return *row_rotations(cos, sin, order, batch * text_tokens, head_dim), still
