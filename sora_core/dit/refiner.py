"""From token states of any text encoder and any length to the few text tokens that the transformer reads."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DiTConfig
from .block import norm, swiglu


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """`F.scaled_dot_product_attention` under a mask of booleans, in plain products: `s heads n d` -> the same."""
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).to(v.dtype) @ v


class RefinerLayer(nn.Module):
    """The queries attend to the text and to each other, then pass a gated feed-forward layer."""

    def __init__(self, width: int, heads: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.heads = heads
        hidden = 2 * width
        self.query = operations.Linear(width, width, bias=False, **factory)
        self.key_value = operations.Linear(width, 2 * width, bias=False, **factory)
        self.out = operations.Linear(width, width, bias=False, **factory)
        self.gate_up = operations.Linear(width, 2 * hidden, bias=False, **factory)
        self.down = operations.Linear(hidden, width, bias=False, **factory)

    def forward(self, x: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """`x` is `s k d`, `text` is `s l d`, `mask` is `s 1 1 l+k`, true where a token may be seen."""
        q = self.query(norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(norm(torch.cat([text, x], dim=1))).unflatten(-1, (2, self.heads, -1)).unbind(2)
        # From 2.8 on, PyTorch leaves up to 8 queries on Apple's cards to kernels that, in one version or another,
        # mistake strides, numbers of keys that are no multiples of 32, and the masks of all texts but the first.
        k, v, plain = k.transpose(1, 2), v.transpose(1, 2), x.device.type == "mps"
        h = masked_attention(q, k, v, mask) if plain else F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(h.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(norm(x)).chunk(2, dim=-1)
        return x + self.down(swiglu(gate, up))


class TextRefiner(nn.Module):
    """Resamples `s l text_width` token states to `s k width` text tokens with learned queries."""

    def __init__(self, config: DiTConfig, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.entry = operations.Linear(config.text_width, config.width, bias=False, **factory)
        self.query_embed = nn.Parameter(torch.empty(config.text_tokens, config.width, **factory))
        self.layers = nn.ModuleList(
            RefinerLayer(config.width, config.heads, operations=operations, **factory)
            for _ in range(config.refiner_depth)
        )

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        text = self.entry(norm(states))
        x = self.query_embed.to(text).expand(states.shape[0], -1, -1)
        seen = F.pad(mask.bool(), (0, x.shape[1]), value=True)[:, None, None]
        for layer in self.layers:
            x = layer(x, text, seen)
        return norm(x)
