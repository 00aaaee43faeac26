"""Spacetime patches: latents to tokens and back, where each token sits, and packing videos of any size in one row."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from .shapes import Compression


def patchify(latent: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """`b c t h w` -> `b n d`, n = patches in `t h w` order, d = `c` times the patch's volume."""
    b, c, t, h, w = latent.shape
    pt, ph, pw = patch
    x = latent.reshape(b, c, t // pt, pt, h // ph, ph, w // pw, pw)
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(b, -1, c * pt * ph * pw)


def unpatchify(tokens: Tensor, grid: tuple[int, int, int], patch: tuple[int, int, int]) -> Tensor:
    """The inverse of `patchify` for a grid of `t h w` patches: `b n d` -> `b c t h w`."""
    b, _, d = tokens.shape
    (t, h, w), (pt, ph, pw) = grid, patch
    c = d // (pt * ph * pw)
    x = tokens.reshape(b, t, h, w, c, pt, ph, pw).permute(0, 4, 1, 5, 2, 6, 3, 7)
    return x.reshape(b, c, t * pt, h * ph, w * pw)


def positions(
    latent: tuple[int, int, int],
    patch: tuple[int, int, int],
    compression: Compression,
    fps: float,
    *,
    start: float = 0.0,
    circular: bool = False,
) -> Tensor:
    """Where each patch of a latent of `t h w` cells is: `n 3` = (seconds, rows from the centre, columns from it).

    Time is the centre of the frames that a token stands for, in seconds; the clip begins at `start`. Its first cell is
    one frame; in a `circular` clip every cell is a whole one. Rows and columns are counted in latent cells.
    """
    t, h, w = latent
    pt, ph, pw = patch
    if circular:
        first = torch.arange(t, dtype=torch.float32) * compression.time
        last = first + compression.time
    else:
        first = (torch.arange(t, dtype=torch.float32) - 1) * compression.time + 1
        last = first + compression.time
        first[0] = 0.0
    seconds = start + (first.reshape(-1, pt)[:, 0] + last.reshape(-1, pt)[:, -1]) / 2 / fps
    rows = (torch.arange(h // ph) + 0.5) * ph - h / 2
    columns = (torch.arange(w // pw) + 0.5) * pw - w / 2
    grid = torch.meshgrid(seconds, rows, columns, indexing="ij")
    return torch.stack(grid, dim=-1).reshape(-1, 3).float()


def still_tokens(latent: tuple[int, int, int], patch: tuple[int, int, int], *, circular: bool = False) -> Tensor:
    """Which patches stand for one frame rather than a whole cell: `n` booleans, the first time step of a clip."""
    t, h, w = (size // p for size, p in zip(latent, patch, strict=True))
    still = torch.zeros(t, h * w, dtype=torch.bool)
    still[0] = not circular
    return still.flatten()


@dataclass(frozen=True)
class Segments:
    """The lengths of the sequences that lie one after another in a packed row; each attends only to itself."""

    lengths: tuple[int, ...]
    host: Any = field(default=None, compare=False)
    """What the program around the network hands to its own attention and blocks in this pass."""

    @property
    def uniform(self) -> bool:
        """Whether all sequences have the same length, so that the row is a plain batch."""
        return len(set(self.lengths)) == 1

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each sequence begins."""
        return (0, *accumulate(self.lengths[:-1]))

    def groups(self) -> list[tuple[int, int, int]]:
        """Runs of equal neighbours as (start, count, length): each run is one dense batch for attention."""
        runs: list[tuple[int, int, int]] = []
        for start, length in zip(self.starts, self.lengths, strict=True):
            if runs and runs[-1][2] == length:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, length)
            else:
                runs.append((start, 1, length))
        return runs
