"""Frames as they come from a file, regrouped for the compression network: whole cells in time and in space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..pixels import to_floats
from ..shapes import Compression, margins


def whole_cells(chunks: Iterable[Tensor], cells: Compression, count: int = 4, *, patch: int = 2) -> Iterator[Tensor]:
    """Chunks of frames `t h w 3` (uint8, or floats in [0, 1]) as videos `1 3 t h w` for `VideoVAE.encode_chunks`.

    Each holds `count` latent frames; the first latent frame of all is one frame. The last frame is repeated up
    to whole cells in time, and the outer rows and columns up to whole patches of `patch` cells in space. Memory is that
    of one chunk.
    """
    waiting: list[Tensor] = []
    wanted = cells.num_frames(count)
    for chunk in chunks:
        for frame in chunk:
            waiting.append(frame)
            if len(waiting) == wanted:
                yield _video(waiting, cells.space * patch)
                waiting, wanted = [], count * cells.time
    if waiting:
        begun = wanted == cells.num_frames(count)
        missing = (1 - len(waiting) if begun else -len(waiting)) % cells.time
        yield _video(waiting + waiting[-1:] * missing, cells.space * patch)


def _video(frames: list[Tensor], step: int) -> Tensor:
    return surrounded(to_floats(torch.stack(frames)).movedim(-1, 0)[None], step)


def surrounded(video: Tensor, step: int) -> Tensor:
    """Frames `b c t h w` whose outer rows and columns are repeated until they are whole steps high and wide."""
    h, w = video.shape[-2:]
    return F.pad(video, (*margins(w, step), *margins(h, step), 0, 0), mode="replicate")
