"""Rotary position embedding over physical time and space (Su et al., 2021), one set of wavelengths per axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TIME_WAVELENGTHS = (0.5, 64.0)
"""Shortest and longest, in seconds."""
SPACE_WAVELENGTHS = (4.0, 512.0)
"""Shortest and longest, in latent cells."""


def _frequencies(count: int, wavelengths: tuple[float, float]) -> Tensor:
    shortest, longest = (math.log(value) for value in wavelengths)
    return 2 * math.pi * torch.exp(-torch.linspace(shortest, longest, count, dtype=torch.float64))


def axis_pairs(head_dim: int) -> tuple[int, int, int]:
    """Rotated pairs given to time, rows and columns: a quarter to time, the rest to space."""
    time = head_dim // 8
    rows = (head_dim // 2 - time) // 2
    return time, rows, head_dim // 2 - time - rows


def rotations(positions: Tensor, head_dim: int, *, loop_seconds: float | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines for tokens at `positions` (`n 3`): two tensors `n head_dim/2`, float32.

    With `loop_seconds` the temporal frequencies snap to whole turns per loop, so that attention depends on time
    only modulo the loop and shifting a loop in time shifts the result.
    """
    time, rows, columns = axis_pairs(head_dim)
    in_time = _frequencies(time, TIME_WAVELENGTHS)
    if loop_seconds is not None:
        turn = 2 * math.pi / loop_seconds
        in_time = (in_time / turn).round() * turn
    place = positions.double().cpu()
    angles = torch.cat(
        [
            place[:, :1] * in_time,
            place[:, 1:2] * _frequencies(rows, SPACE_WAVELENGTHS),
            place[:, 2:] * _frequencies(columns, SPACE_WAVELENGTHS),
        ],
        dim=1,
    )
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate `n heads d` by `n d/2` angles given as cosines and sines; the halves of d are the pairs."""
    # (a, b) -> (a cos - b sin, b cos + a sin), as whole rows: three passes over memory instead of seven.
    cos = torch.cat([cos, cos], dim=-1)[:, None].to(x.dtype)
    sin = torch.cat([-sin, sin], dim=-1)[:, None].to(x.dtype)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)
