"""One transformer block: attention and a gated feed-forward layer, modulated by each token's own noise level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DiTConfig
from ..patches import Segments
from ..products import plain
from .rope import rotate, rotated_heads

Attention = Callable[[Tensor, Tensor, Tensor, Segments | Tensor], Tensor]


EPSILON = 1e-6
"""What keeps a normalised zero finite."""


def norm(x: Tensor) -> Tensor:
    """RMS normalisation without weights: modulation and gates carry the scale."""
    if plain(x):
        # PyTorch has no kernel of its own for this on a CPU and walks over all numbers five times; this does it twice.
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * length.square_().div_(x.shape[-1]).add_(EPSILON).rsqrt_()
    return F.rms_norm(x, x.shape[-1:], eps=EPSILON)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """The gated activation of the feed-forward layers (Shazeer, 2020)."""
    return F.silu(gate).mul_(up) if plain(gate, up) else F.silu(gate) * up


class Modulation(NamedTuple):
    """What a noise level does to the two branches of a block; each tensor is `n d` or `1 d`."""

    attention_scale: Tensor
    attention_shift: Tensor
    attention_gate: Tensor
    mlp_scale: Tensor
    mlp_shift: Tensor
    mlp_gate: Tensor


class RowContext(NamedTuple):
    """What every block of a forward pass shares."""

    segments: Segments | Tensor
    cos: Tensor
    """`n head_dim`, as `whole_rows` makes them."""
    sin: Tensor
    level_of_token: Tensor | None
    """`n`: row of the modulation table for each token, or None when all tokens share one noise level."""


class Block(nn.Module):
    """Sandwich-normalised block of a single-stream transformer: `n d` -> `n d`."""

    def __init__(self, config: DiTConfig, *, operations: Any = nn, attention: Attention, **factory: Any):
        super().__init__()
        width, hidden = config.width, config.hidden
        self.heads, self.attention = config.heads, attention
        self.qkv = operations.Linear(width, 3 * width, bias=False, **factory)
        self.qk_table = nn.Parameter(torch.empty(2, config.head_dim, **factory))
        self.out = operations.Linear(width, width, bias=False, **factory)
        self.gate_up = operations.Linear(width, 2 * hidden, bias=False, **factory)
        self.down = operations.Linear(hidden, width, bias=False, **factory)
        self.table = nn.Parameter(torch.empty(6, width, **factory))

    def modulation(self, levels: Tensor, level_of_token: Tensor | None) -> Modulation:
        """`m 6d` shared modulation plus this block's own table, gathered to tokens."""
        table = levels.unflatten(-1, (6, -1)) + self.table.to(levels)
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = table.unbind(1)
        m = Modulation(1 + scale, shift, gate.tanh(), 1 + mlp_scale, mlp_shift, mlp_gate.tanh())
        # Gathered last: there are far fewer levels than tokens.
        return m if level_of_token is None else Modulation(*(x.index_select(0, level_of_token) for x in m))

    def forward(self, x: Tensor, levels: Tensor, row: RowContext) -> Tensor:
        m = self.modulation(levels, row.level_of_token)
        h = torch.addcmul(m.attention_shift, norm(x), m.attention_scale)
        qkv = self.qkv(h).unflatten(-1, (3, self.heads, -1))  # n 3 heads head_dim
        q, k, v = *self.placed(qkv[:, :2], row), qkv[:, 2]
        h = self.attention(q.to(v.dtype), k.to(v.dtype), v, row.segments).flatten(1)
        x = torch.addcmul(x, m.attention_gate, norm(self.out(h)))
        h = torch.addcmul(m.mlp_shift, norm(x), m.mlp_scale)
        gate, up = self.gate_up(h).chunk(2, dim=-1)
        return torch.addcmul(x, m.mlp_gate, norm(self.down(swiglu(gate, up))))

    def placed(self, qk: Tensor, row: RowContext) -> tuple[Tensor, Tensor]:
        """Queries and keys `n 2 heads head_dim`, normalised, scaled and rotated to where their tokens are."""
        table = self.qk_table.to(qk)
        if plain(qk, table):
            return rotated_heads(qk, table, row.cos, row.sin, EPSILON)
        q, k = (rotate(norm(x) * scale, row.cos, row.sin) for x, scale in zip(qk.unbind(1), table, strict=True))
        return q, k
