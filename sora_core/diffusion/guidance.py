"""Classifier-free guidance (Ho and Salimans, 2022), within an interval of noise levels and rescaled if wished."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .samplers import Denoiser


def guide(
    conditional: Denoiser,
    unconditional: Denoiser,
    scale: float,
    *,
    interval: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
) -> Denoiser:
    """A denoiser pushed `scale` times away from the unconditional one.

    Outside `interval` (noise levels, inclusive) it is the conditional one alone and costs half (Kynkaanniemi et al.,
    2024). `rescale` in [0, 1] restores that share of the conditional's standard deviation (Lin et al., 2023).
    Raises ValueError for another `rescale`, a `scale` that is no finite number, and an `interval` that ends below its
    beginning.
    """
    if not math.isfinite(scale):
        raise ValueError(f"guidance is {scale}; it must be a finite number, for instance 3")
    if not 0 <= rescale <= 1:
        raise ValueError(f"rescale is {rescale}; it must be between 0 (none) and 1 (full)")
    if not interval[0] <= interval[1]:
        raise ValueError(f"interval is {interval}; the lower noise level comes first, for instance (0.3, 0.8)")

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        positive = conditional(x, sigma)
        if scale == 1 or not interval[0] <= float(sigma.max()) <= interval[1]:
            return positive
        negative = unconditional(x, sigma)
        result = negative + scale * (positive - negative)
        return rescaled(result, positive, rescale) if rescale else result

    return guided


def rescaled(result: Tensor, positive: Tensor, share: float) -> Tensor:
    """`result` with `share` of the way back to the standard deviation of `positive`, sample by sample.

    A sample that is the same everywhere has none and stays as it is.
    """
    dims = tuple(range(1, result.ndim))
    wanted, spread = positive.std(dims, keepdim=True), result.std(dims, keepdim=True)
    factor = torch.where(spread > 0, wanted / spread, 1)
    return result * (share * factor + 1 - share)
