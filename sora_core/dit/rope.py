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
    place = positions.cpu().double()
    angles = torch.cat(
        [
            place[:, :1] * in_time,
            place[:, 1:2] * _frequencies(rows, SPACE_WAVELENGTHS),
            place[:, 2:] * _frequencies(columns, SPACE_WAVELENGTHS),
        ],
        dim=1,
    )
    return angles.cos().float(), angles.sin().float()


def whole_rows(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines `n d/2` spread over whole heads, `n d`, the sines of the first half negative.

    (a, b) -> (a cos - b sin, b cos + a sin) then takes whole rows: three passes over memory instead of seven.
    """
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate `n heads d` by angles given as the `whole_rows` of their cosines and sines; halves of d are the pairs."""
    cos, sin = (rows[:, None].to(x.dtype) for rows in (cos, sin))
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


def rotated_heads(
    qk: Tensor, table: Tensor, cos: Tensor, sin: Tensor, epsilon: float, rows: int = 1024
) -> tuple[Tensor, Tensor]:
    """RMS norm, the factors `table` (`2 d`) and `rotate` of queries and keys `n 2 heads d`, each `n heads d`; exact.

    For inference: `rows` tokens at a time, so that all five passes find their numbers in the cache, and laid out head
    by head, as attention reads them.
    """
    n, _, heads, d = qk.shape
    half = d // 2
    qk = qk.permute(1, 2, 0, 3)  # 2 heads n d
    cos = cos * table[:, None, None]  # 2 1 n d
    sin = sin * table.roll(half, dims=-1)[:, None, None]
    out = qk.new_empty(2, heads, n, d)
    for start in range(0, n, rows):
        part, c, s, target = (x.narrow(2, start, min(rows, n - start)) for x in (qk, cos, sin, out))
        torch.mul(part, c, out=target)
        target[..., :half].addcmul_(part[..., half:], s[..., :half])
        target[..., half:].addcmul_(part[..., :half], s[..., half:])
        # One factor for a whole head commutes with all of this: multiplying last saves a pass.
        length = torch.linalg.vector_norm(part, dim=-1, keepdim=True)
        target.mul_(length.square_().div_(d).add_(epsilon).rsqrt_())
    return out[0].transpose(0, 1), out[1].transpose(0, 1)
