"""The bundled text encoder: hashed words and n-grams to token states that know the words around them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import TextConfig
from .tokenizer import Tokenizer


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)


class EncoderLayer(nn.Module):
    """Pre-normalised bidirectional transformer layer, `b l d` -> `b l d`."""

    def __init__(self, width: int, heads: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.heads = heads
        self.qkv = operations.Linear(width, 3 * width, bias=False, **factory)
        self.out = operations.Linear(width, width, bias=False, **factory)
        self.up = operations.Linear(width, 4 * width, bias=False, **factory)
        self.down = operations.Linear(4 * width, width, bias=False, **factory)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`mask` is `b 1 1 l`, true where there is a token."""
        q, k, v = self.qkv(_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # b heads l head_dim
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))
        return x + self.down(F.silu(self.up(_norm(x))))


class TextEncoder(nn.Module):
    """Token states `b l width` from feature ids `b l f`, for words of any language that the tokenizer can split."""

    def __init__(self, config: TextConfig, *, operations: Any = nn, dtype: Any = None, device: Any = None):
        super().__init__()
        self.config = config
        factory = {"dtype": dtype, "device": device}
        self.feature_embed = operations.Embedding(config.buckets + 1, config.embedding, **factory)
        self.place_embed = operations.Embedding(config.max_tokens, config.width, **factory)
        self.entry = operations.Linear(config.embedding, config.width, bias=False, **factory)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, operations=operations, **factory) for _ in range(config.depth)
        )

    def initialise(self, generator: torch.Generator) -> None:
        """Small random weights; the residual stream starts as the words themselves."""
        for name, parameter in self.named_parameters():
            std = 1.0 if name.startswith("feature") else 0.1 if name.startswith("place") else parameter.shape[1] ** -0.5
            nn.init.normal_(parameter, std=std, generator=generator)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose ids this encoder reads."""
        return Tokenizer(self.config.max_tokens, self.config.buckets, self.config.ngrams)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids `b l f` (0 = no feature) and mask `b l` -> token states `b l width`; padding gives zeros."""
        present = (ids > 0).unsqueeze(-1)
        features = self.feature_embed(ids) * present
        words = features.sum(2) / present.sum(2).clamp(min=1).sqrt()
        x = self.entry(words) + self.place_embed(torch.arange(ids.shape[1], device=ids.device)).to(words.dtype)
        seen = mask.bool()[:, None, None]
        for layer in self.layers:
            x = layer(x, seen)
        return _norm(x) * mask.unsqueeze(-1)

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Token states `b l width` and mask `b l` of prompts."""
        ids, mask = self.tokenizer().encode(texts)
        device = next(self.parameters()).device
        ids, mask = ids.to(device), mask.to(device)
        return self(ids, mask), mask
