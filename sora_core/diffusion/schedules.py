"""Sequences of noise levels to sample along: from 1 down to a last small one, then 0."""

from __future__ import annotations

import torch
from torch import Tensor

from .process import LOWEST_SIGMA, shift, shift_for_tokens


def schedule(
    steps: int, tokens: int, *, start: float = 1.0, shift_factor: float | None = None, lowest: float = LOWEST_SIGMA
) -> Tensor:
    """`steps + 1` falling noise levels ending in 0, for a grid of `tokens` patches (`shift_factor` overrides it).

    With `start` < 1, for editing, the levels begin there; the last but one is `lowest`, or half of the start if that is
    lower. Raises ValueError for no steps, a start outside (0, 1], a lowest outside (0, 1), or a shift of 0 or less.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; sampling needs at least 1")
    if not 0 < start <= 1:
        raise ValueError(f"start is {start}; it must be above 0 and at most 1")
    if not 0 < lowest < 1:
        raise ValueError(f"lowest is {lowest}; it must be above 0 and below 1")
    factor = shift_for_tokens(tokens) if shift_factor is None else shift_factor
    if not factor > 0:
        raise ValueError(f"shift is {factor}; it must be above 0, 1 for no shift")
    # The line is drawn before the shift, so that `start` and the last level are exact after it.
    first = start / (factor - (factor - 1) * start)
    end = min(lowest, start / 2)
    last = end / (factor - (factor - 1) * end)
    line = torch.linspace(first, last, steps, dtype=torch.float64) if steps > 1 else torch.tensor([first]).double()
    return torch.cat([shift(line, factor), torch.zeros(1, dtype=torch.float64)]).float()
