"""One transformer block: attention and a gated feed-forward layer, modulated by each token's own noise level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DiTConfig
from ..patches import Segments
from .rope import rotate

Attention = Callable[[Tensor, Tensor, Tensor, Segments], Tensor]


def norm(x: Tensor) -> Tensor:
    """RMS normalisation without weights: modulation and gates carry the scale."""
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)


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

    segments: Segments
    cos: Tensor
    """`n head_dim/2`"""
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
        self.q_norm = operations.RMSNorm(config.head_dim, eps=1e-6, **factory)
        self.k_norm = operations.RMSNorm(config.head_dim, eps=1e-6, **factory)
        self.out = operations.Linear(width, width, bias=False, **factory)
        self.gate_up = operations.Linear(width, 2 * hidden, bias=False, **factory)
        self.down = operations.Linear(hidden, width, bias=False, **factory)
        self.table = nn.Parameter(torch.empty(6, width, **factory))

    def modulation(self, levels: Tensor, level_of_token: Tensor | None) -> Modulation:
        """`m 6d` shared modulation plus this block's own table, gathered to tokens."""
        table = levels.unflatten(-1, (6, -1)) + self.table.to(levels)
        if level_of_token is not None:
            table = table[level_of_token]
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = table.unbind(1)
        return Modulation(1 + scale, shift, gate.tanh(), 1 + mlp_scale, mlp_shift, mlp_gate.tanh())

    def forward(self, x: Tensor, levels: Tensor, row: RowContext) -> Tensor:
        m = self.modulation(levels, row.level_of_token)
        h = norm(x) * m.attention_scale + m.attention_shift
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).unbind(1)  # n heads head_dim
        q = rotate(self.q_norm(q), row.cos, row.sin)
        k = rotate(self.k_norm(k), row.cos, row.sin)
        h = self.attention(q, k, v.to(q.dtype), row.segments).flatten(1)
        x = x + m.attention_gate * norm(self.out(h))
        h = norm(x) * m.mlp_scale + m.mlp_shift
        gate, up = self.gate_up(h).chunk(2, dim=-1)
        return x + m.mlp_gate * norm(self.down(F.silu(gate) * up))
