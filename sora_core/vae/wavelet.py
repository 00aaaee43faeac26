"""An orthonormal Haar transform that folds blocks of pixels into channels and back without losing anything."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def haar_matrix(size: int) -> Tensor:
    """The orthonormal Haar basis of `size` samples (a power of two), one basis vector per row, mean first."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while matrix.shape[0] < size:
        n = matrix.shape[0]
        smooth = torch.kron(matrix, torch.ones(1, 2, dtype=torch.float64))
        detail = torch.kron(torch.eye(n, dtype=torch.float64), torch.tensor([[1.0, -1.0]], dtype=torch.float64))
        matrix = torch.cat([smooth, detail]) / math.sqrt(2)
    return matrix


def block_matrix(block: tuple[int, int, int]) -> Tensor:
    """The separable Haar basis of a block of `t h w` samples, as one square matrix in float32."""
    t, h, w = (haar_matrix(size) for size in block)
    return torch.kron(t, torch.kron(h, w)).float()


def fold(x: Tensor, block: tuple[int, int, int], matrix: Tensor) -> Tensor:
    """`b c T H W` -> `b (c*block) T/bt H/bh W/bw`: each block becomes its Haar coefficients."""
    b, c, t, h, w = x.shape
    bt, bh, bw = block
    x = x.reshape(b, c, t // bt, bt, h // bh, bh, w // bw, bw)
    # As one flat product: with more dimensions, PyTorch may loop over thousands of tiny ones.
    x = x.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(-1, bt * bh * bw) @ matrix.T
    return x.reshape(b, t // bt, h // bh, w // bw, c * bt * bh * bw).permute(0, 4, 1, 2, 3)


def unfold(x: Tensor, block: tuple[int, int, int], matrix: Tensor) -> Tensor:
    """The inverse of `fold`: `b (c*block) t h w` -> `b c T H W`."""
    b, channels, t, h, w = x.shape
    bt, bh, bw = block
    size = bt * bh * bw
    x = x.permute(0, 2, 3, 4, 1).reshape(-1, size) @ matrix  # one flat product, as in `fold`
    x = x.reshape(b, t, h, w, channels // size, bt, bh, bw).permute(0, 4, 1, 5, 2, 6, 3, 7)
    return x.reshape(b, channels // size, t * bt, h * bh, w * bw)
