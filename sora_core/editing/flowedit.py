"""FlowEdit: from one prompt to another without inverting the video into noise (Kulikov et al., 2024)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..diffusion.process import add_noise
from ..diffusion.samplers import Callback, Denoiser


def flowedit(
    source_model: Denoiser, target_model: Denoiser, source: Tensor, sigmas: Tensor,
    noise: Callable[[int], Tensor], *, until: float = 0.0, averages: int = 1, callback: Callback | None = None,
) -> Tensor:  # fmt: skip
    """Move the clean latent `source` (`b c t h w`) along the difference of what two prompts predict.

    At each level the source is noised anew (`noise(draw)`), the edit gets the same noise, and only the difference of
    the two velocities is followed, so what both prompts agree on stays. `sigmas` begins at the strength of the edit
    and ends in 0; below `until` the target alone is followed, for new detail. `averages` draws per level.
    `callback` gets as x the latent that the next step goes on from. Raises ValueError for less than one draw.
    """
    if averages < 1:
        raise ValueError(f"averages is {averages}; it must be at least 1")
    edit, x = source, None
    for i in range(len(sigmas) - 1):
        level = sigmas[i].to(source).expand(source.shape[0])
        if float(sigmas[i]) > until:
            change = torch.zeros_like(source)
            for draw in range(averages):
                noisy = add_noise(source, noise(i * averages + draw).to(source), level)
                moved = noisy + (edit - source)  # the same bits as `noisy` where nothing is edited
                # Equal noise and equal offsets leave the difference of the clean predictions and of the positions.
                difference = target_model(moved, level) - source_model(noisy, level) - (edit - source)
                change = change + difference / averages
            edit = edit + (1 - sigmas[i + 1] / sigmas[i]) * change
            denoised = edit
        else:
            x = edit + add_noise(source, noise(i * averages).to(source), level) - source if x is None else x
            denoised = target_model(x, level)
            x = denoised + (x - denoised) * (sigmas[i + 1] / sigmas[i])
        if callback is not None:
            here = edit if x is None else x
            callback({"step": i, "steps": len(sigmas) - 1, "sigma": float(sigmas[i]), "x": here, "denoised": denoised})
    return edit if x is None else x
