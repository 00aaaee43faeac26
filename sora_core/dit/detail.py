"""Detail that crosses the borders of patches: convolutions over latent cells after the transformer.

A patch is one token, and whatever the transformer knows of its neighbours passes through attention. Edges that run from
one patch into the next, or from one latent frame into the next, need more: a few cheap convolutions that see the cells
themselves, and what the transformer makes of them (Chen et al., "DiP: Taming Diffusion Models in Pixel Space", 2025, do
so for pixels).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DiTConfig
from ..patches import unpatchify
from .block import norm


class DetailBlock(nn.Module):
    """Each cell looks at its eight neighbours, then at the same place one latent frame earlier and one later."""

    def __init__(self, width: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.space = operations.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1), bias=False, **factory)
        self.time = operations.Linear(3 * width, width, bias=False, **factory)

    def forward(self, x: Tensor, circular: bool) -> Tensor:
        """`b t h w d` -> the same; in a `circular` clip the last frame comes before the first."""
        h = F.silu(self.space(norm(x).permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1))
        ends = (h[:, -1:], h[:, :1]) if circular else (torch.zeros_like(h[:, :1]),) * 2
        earlier, later = torch.cat([ends[0], h[:, :-1]], 1), torch.cat([h[:, 1:], ends[1]], 1)
        return x + self.time(torch.cat([earlier, h, later], -1))


class Detail(nn.Module):
    """Corrects a clean prediction, given what of the noisy latent it leaves unexplained.

    At low noise most of that is detail which the transformer, with fewer channels than a patch has numbers, cannot hand
    through. So a share of it is added, decided for each channel of each cell: an estimate and a measurement, weighted
    as in a Wiener filter.
    """

    def __init__(self, config: DiTConfig, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.patch, width = config.patch, config.detail_width
        self.entry = operations.Linear(2 * config.channels, width, bias=False, **factory)
        self.context = operations.Linear(config.width, width * math.prod(config.patch), bias=False, **factory)
        self.blocks = nn.ModuleList(
            DetailBlock(width, operations=operations, **factory) for _ in range(config.detail_depth)
        )
        self.exit = operations.Linear(width, 2 * config.channels, bias=False, **factory)

    def forward(self, clean: Tensor, rest: Tensor, features: Tensor, circular: bool) -> Tensor:
        """A predicted latent and its rest, `b c t h w`, and features `b n d` of their patches -> a better prediction.

        The rest is the noisy latent less what of it the prediction explains, noise level 0 to 1: x - (1 - sigma) clean.
        """
        grid = tuple(size // p for size, p in zip(clean.shape[2:], self.patch, strict=True))
        context = unpatchify(self.context(features), grid, self.patch)  # type: ignore[arg-type]
        x = self.entry(torch.cat([clean, rest], 1).movedim(1, -1)) + context.movedim(1, -1)
        for block in self.blocks:
            x = block(x, circular)
        correction, share = self.exit(norm(x)).movedim(-1, 1).chunk(2, dim=1)
        return clean + correction + share * rest
