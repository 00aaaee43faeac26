"""Which patches of a training sample are given and which are to be generated, and at what noise levels."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.process import LOWEST_SIGMA, draw_sigma


def draw_levels(grid: tuple[int, int, int], draws: torch.Generator, lowest: float = LOWEST_SIGMA) -> Tensor:
    """Noise levels `t h w` of the patches of one sample, for sampling that ends at `lowest`; 0: a patch is given clean.

    45 % of clips have one level, 30 % given parts (beginning, end, both, anchors, boxes), 15 % an independent level
    per time step (Chen et al., Diffusion Forcing, 2024), 10 % levels that rise or fall in time.
    """
    t, h, w = grid
    tokens = t * h * w
    kind = float(torch.rand((), generator=draws))
    sigma = draw_sigma(1, tokens, draws, lowest)
    if t == 1:
        return sigma.expand(grid).clone() * (_box(grid, draws) if kind < 0.1 else torch.ones(grid))
    if kind < 0.45:
        return sigma.expand(grid).clone()
    if kind < 0.75:
        return sigma * _given_parts(grid, draws)
    levels = draw_sigma(t, tokens, draws, lowest)
    if kind >= 0.9:
        levels = levels.sort(descending=kind < 0.95).values
    return levels[:, None, None].expand(grid).clone()


def _given_parts(grid: tuple[int, int, int], draws: torch.Generator) -> Tensor:
    """A mask `t h w`, 0 where the sample is given and 1 where it is generated; something is always generated."""
    t = grid[0]
    mask = torch.ones(grid)
    kind = int(torch.randint(6, (), generator=draws))
    some = int(torch.randint(1, t, (), generator=draws))
    if kind == 0:
        mask[0] = 0
    elif kind == 1:
        mask[:some] = 0
    elif kind == 2:
        mask[-some:] = 0
    elif kind == 3:
        mask[0] = 0
        if t > 2:
            mask[-1] = 0
    elif kind == 4:
        given = torch.rand(t, generator=draws) < 0.3
        given[int(torch.randint(t, (), generator=draws))] = False
        mask[given] = 0
    else:
        mask = _box(grid, draws)
    return mask


def _box(grid: tuple[int, int, int], draws: torch.Generator) -> Tensor:
    """A mask that generates one box, the same at all times."""
    mask = torch.zeros(grid)
    ends = []
    for size in grid[1:]:
        length = int(torch.randint((size + 1) // 2, size + 1, (), generator=draws))
        start = int(torch.randint(size - length + 1, (), generator=draws))
        ends.append(slice(start, start + length))
    mask[:, ends[0], ends[1]] = 1
    return mask
