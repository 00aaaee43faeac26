"""The diffusion transformer: one stream of text tokens and spacetime patches, each patch at its own noise level.

Shapes: b batch, s sequences in a packed row, n tokens in the row, d width, m distinct noise levels, k text tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DiTConfig
from ..patches import Segments, patchify, unpatchify
from ..shapes import Compression
from .attention import attend
from .block import Attention, Block, RowContext, norm
from .refiner import TextRefiner
from .row import distinct, grid_row, row_levels, row_order, row_rotations


def noise_features(sigma: Tensor, dim: int = 256) -> Tensor:
    """Sinusoidal features of noise levels in [0, 1], `m` -> `m dim`, float32 (Vaswani et al., 2017)."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(dim // 2, device=sigma.device) / (dim // 2))
    angles = 1000 * sigma.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class DiT(nn.Module):
    """Predicts clean patches from noisy ones. Works on packed rows; a batch is a row of equal sequences."""

    def __init__(
        self,
        config: DiTConfig,
        compression: Compression,
        *,
        operations: Any = nn,
        attention: Attention = attend,
        dtype: Any = None,
        device: Any = None,
    ):
        super().__init__()
        self.config, self.compression = config, compression
        factory = {"dtype": dtype, "device": device}
        self.entry = operations.Linear(config.patch_dim, config.width, bias=False, **factory)
        self.still_embed = operations.Embedding(2, config.width, **factory)
        self.refiner = TextRefiner(config, operations=operations, **factory)
        self.noise_entry = operations.Linear(256, config.width, **factory)
        self.noise_out = operations.Linear(config.width, 8 * config.width, **factory)
        self.blocks = nn.ModuleList(
            Block(config, operations=operations, attention=attention, **factory) for _ in range(config.depth)
        )
        self.exit = operations.Linear(config.width, config.patch_dim, **factory)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Small random weights, no effect of the noise level at first, and a prediction of zero."""
        for parameter, weight in self.first_weights(generator):
            parameter.copy_(weight)

    def first_weights(self, generator: torch.Generator) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Every parameter with the weights that it begins with, on the CPU, one after another."""
        for name, parameter in self.named_parameters():
            weight = torch.zeros(parameter.shape)
            if name.endswith("qk_table"):
                nn.init.ones_(weight)
            elif name.endswith("bias") or name.startswith(("exit", "noise_out")):
                pass
            elif name.endswith("table"):
                # Gates open a little, so that depth blocks together add about as much as the stream carries.
                weight[2::3] = (2 * self.config.depth) ** -0.5
            else:
                std = 0.5 if "embed" in name else parameter.shape[1] ** -0.5
                nn.init.normal_(weight, std=std, generator=generator)
            yield parameter, weight

    def forward(
        self,
        latent: Tensor,
        sigma: Tensor,
        text: Tensor,
        text_mask: Tensor | None,
        *,
        fps: float = 8.0,
        start: float = 0.0,
        continued: bool = False,
        circular: bool = False,
        host: Any = None,
    ) -> Tensor:
        """Clean latent `b c t h w` from a noisy one at noise levels `sigma`: `b`, or `b n` with one level per patch.

        `text` is `b l text_width` token states with `text_mask` `b l`, or with the mask None what `refiner` made of
        them, `b k width`, which many passes can share; `start` is when the clip begins, in seconds;
        `continued` says that its first cell is a whole one from the middle of a longer video rather than a still;
        `host` reaches attention and `run_block` as `Segments.host`.
        Raises ValueError when channels or the number of texts do not fit, or the latent is no whole number of patches.
        """
        b, c, t, h, w = latent.shape
        cells = (t, h, w)
        if c != self.config.channels:
            raise ValueError(f"the latent has {c} channels; this model denoises {self.config.channels}")
        if len(text) != b:
            raise ValueError(f"there are {len(text)} texts for {b} latents; give one text for each latent")
        patch = self.config.patch
        if any(size % p for size, p in zip(cells, patch, strict=True)):
            raise ValueError(f"a latent of {cells} (t, h, w) is not a whole number of {patch} patches")
        tokens = patchify(latent, patch)
        n = tokens.shape[1]
        lengths, k = (n,) * b, self.config.text_tokens
        order, patches = (index.to(latent.device) for index in row_order(lengths, k))
        places = grid_row(
            cells, patch, self.compression, self.config.head_dim, k, b,
            fps=fps, start=start, whole=circular or continued, circular=circular,
        )  # fmt: skip
        cos, sin, still = (x.to(latent.device) for x in places)
        if sigma.ndim == 1:
            levels, level_of_token = distinct(sigma)
            level_of_token = None if level_of_token is None else level_of_token.repeat_interleave(n + k)
        else:
            levels, level_of_token = row_levels(sigma.flatten(), order, lengths, k)
        x = self.joined(tokens.flatten(0, 1), still, text, text_mask, order)
        row = RowContext(Segments((n + k,) * b, host), cos, sin, level_of_token)
        x = self.trunk(x, levels, row, patches)
        grid = (t // patch[0], h // patch[1], w // patch[2])
        return unpatchify(x.unflatten(0, (b, n)), grid, patch)

    def packed(
        self, tokens: Tensor, sigma: Tensor, cos: Tensor, sin: Tensor, still: Tensor, text: Tensor,
        text_mask: Tensor | None, lengths: tuple[int, ...], host: Any = None,
    ) -> Tensor:  # fmt: skip
        """Clean patches `n p` of a row of sequences with `lengths` patches each, whose texts are `s l text_width`."""
        segments, order, patches, level_of_token, levels, cos, sin = self.arrange(sigma, cos, sin, lengths, host)
        x = self.joined(tokens, still, text, text_mask, order)
        return self.trunk(x, levels, RowContext(segments, cos, sin, level_of_token), patches)

    def joined(self, tokens: Tensor, still: Tensor, text: Tensor, text_mask: Tensor | None, order: Tensor) -> Tensor:
        """Text and patches as one row of tokens, `n d`."""
        words = text if text_mask is None else self.refiner(text.to(tokens.dtype), text_mask)
        x = self.entry(tokens) + self.still_embed(still.long()).to(tokens.dtype)
        return torch.cat([words.flatten(0, 1), x]).index_select(0, order)

    def arrange(
        self, sigma: Tensor, cos: Tensor, sin: Tensor, lengths: tuple[int, ...], host: Any = None
    ) -> tuple[Segments, Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor]:
        """Interleave text and patches: segments, row order, places of patches, level per token, levels, rotations."""
        k = self.config.text_tokens
        order, patches = (index.to(sigma.device) for index in row_order(lengths, k))
        levels, level_of_token = row_levels(sigma, order, lengths, k)
        cos, sin = row_rotations(cos, sin, order, k * len(lengths), self.config.head_dim)
        segments = Segments(tuple(length + k for length in lengths), host)
        return segments, order, patches, level_of_token, levels, cos, sin

    def trunk(self, x: Tensor, levels: Tensor, row: RowContext, patches: Tensor) -> Tensor:
        """All blocks and the exit: row tokens `n d` and noise levels `m` -> clean patches of the visual tokens."""
        features = noise_features(levels).to(x.dtype)
        modulation = self.noise_out(F.silu(self.noise_entry(features)))  # m 8d
        shared, final = modulation.split([6 * self.config.width, 2 * self.config.width], dim=-1)
        for i, block in enumerate(self.blocks):
            x = self.run_block(i, block, x, shared, row)
        if row.level_of_token is not None:
            final = final.index_select(0, row.level_of_token)
        scale, shift = final.chunk(2, dim=-1)
        x = norm(x) * (1 + scale) + shift
        return self.exit(x.index_select(0, patches))

    def run_block(self, index: int, block: nn.Module, x: Tensor, shared: Tensor, row: RowContext) -> Tensor:
        """One block of the trunk; hosts that replace blocks override this."""
        return block(x, shared, row)
