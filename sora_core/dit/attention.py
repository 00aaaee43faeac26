"""Full attention within each sequence of a packed row, behind one function."""

from __future__ import annotations

import torch
from torch import Tensor

from ..patches import Segments
from ..products import dense_attention


def attend(q: Tensor, k: Tensor, v: Tensor, segments: Segments | Tensor) -> Tensor:
    """`n heads d` queries, keys and values of a packed row -> `n heads d`; a sequence sees only itself.

    Lengths given as a tensor are data rather than constants of a compiled graph.
    """
    if not isinstance(segments, Tensor):
        if len(segments.lengths) == 1 or segments.uniform:
            return _dense(q, k, v, len(segments.lengths))
        segments = torch.tensor(segments.lengths)
    from .packed import packed_attention  # registering an operation would cost ComfyUI's start a tenth of a second

    return packed_attention(q, k, v, segments)[0]


def _dense(q: Tensor, k: Tensor, v: Tensor, batch: int) -> Tensor:
    # (b n) h d -> b h n d and back
    q, k, v = (x.unflatten(0, (batch, -1)).transpose(1, 2) for x in (q, k, v))
    return dense_attention(q, k, v).transpose(1, 2).flatten(0, 1)
