"""A soft border between given and new frames, for models that know one noise level for all of them."""

from __future__ import annotations

from torch import Tensor


def ramp(mask: Tensor, frames: int = 2) -> Tensor:
    """Let the last `frames` given latent frames before new ones change by degrees: mask `b 1 t h w` -> one of floats.

    Used with `released`, a model that sees given frames only through noise then leaves half the jump at the border
    that a hard mask leaves. Each cell adapts as far as the one beyond the border is new. Runs of given frames that
    would lose more than half of themselves stay hard.
    """
    soft = mask.clone() if mask.is_floating_point() else mask.float()
    for start, stop in _runs(soft.amax((0, 1, 3, 4)).eq(0).tolist()):
        left, right = start > 0, stop < mask.shape[2]
        if stop - start < 2 * frames * (left + right):
            continue
        for step in range(1, frames + 1):
            value = 1 - step / (frames + 1)
            if left:
                soft[:, :, start + step - 1] = value * soft[:, :, start - 1]
            if right:
                soft[:, :, stop - step] = value * soft[:, :, stop]
    return soft


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Start and stop of every run of true values."""
    edges = [i for i in range(len(flags) + 1) if (i < len(flags) and flags[i]) != (i > 0 and flags[i - 1])]
    return list(zip(edges[::2], edges[1::2], strict=True))
