"""Layers that look only at the past: a convolution causal in time with a streaming state, and its residual block."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StreamState:
    """What a causal network remembers between chunks: the last frames that each convolution saw."""

    def __init__(self) -> None:
        self.past: dict[nn.Module, Tensor] = {}
        self.started = False


class CausalConv3d(nn.Module):
    """A 3-D convolution whose output at frame i depends on frames <= i; frames before the first are zero."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int, int], *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.history = kernel[0] - 1
        self.conv = operations.Conv3d(channels, out, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2), **factory)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        """`b c t h w` -> `b out t h w`; with a `state`, `x` continues the chunk before it."""
        if self.history:
            past = state.past.get(self) if state is not None else None
            if past is None:
                past = x.new_zeros(*x.shape[:2], self.history, *x.shape[3:])
            x = torch.cat([past, x], dim=2)
            if state is not None:
                state.past[self] = x[:, :, -self.history :].clone()
        return self.conv(x)


def channel_norm(x: Tensor) -> Tensor:
    """RMS normalisation over the channels of each position, so that frames never mix statistically."""
    return F.rms_norm(x.permute(0, 2, 3, 4, 1), (x.shape[1],), eps=1e-6).permute(0, 4, 1, 2, 3)


class ResBlock(nn.Module):
    """Pre-normalised residual block: one space-time convolution, then one in space; starts as the identity."""

    def __init__(self, channels: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.spacetime = CausalConv3d(channels, channels, (3, 3, 3), operations=operations, **factory)
        self.space = CausalConv3d(channels, channels, (1, 3, 3), operations=operations, **factory)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        h = self.spacetime(F.silu(channel_norm(x)), state)
        return x + self.space(F.silu(channel_norm(h)))


def fold_cell(x: Tensor) -> Tensor:
    """`b c T H W` -> `b 8c T/2 H/2 W/2`."""
    b, c, t, h, w = x.shape
    x = x.reshape(b, c, t // 2, 2, h // 2, 2, w // 2, 2).permute(0, 3, 5, 7, 1, 2, 4, 6)
    return x.reshape(b, 8 * c, t // 2, h // 2, w // 2)


def unfold_cell(x: Tensor) -> Tensor:
    """The inverse of `fold_cell`: `b 8c t h w` -> `b c 2t 2h 2w`."""
    b, c, t, h, w = x.shape
    x = x.reshape(b, 2, 2, 2, c // 8, t, h, w).permute(0, 4, 5, 1, 6, 2, 7, 3)
    return x.reshape(b, c // 8, 2 * t, 2 * h, 2 * w)
