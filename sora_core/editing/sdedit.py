"""SDEdit: a video is noised up to a strength and denoised again under another prompt (Meng et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.conditioning import Known
from ..diffusion.process import shift
from .geometry import Geometry

EVENNESS = 4.0
"""How far strengths are moved towards noise: a world survives at most noise levels and changes only in the last."""


def level(strength: Tensor) -> Tensor:
    """The noise level up to which a strength noises a cell: 0 for 0, 1 for 1, and equal steps change about as much."""
    return shift(strength, EVENNESS)


def strength_at(noise_level: float) -> float:
    """The strength whose `level` that is."""
    return float(shift(torch.tensor(noise_level), 1 / EVENNESS))


def strengths(start: float, end: float, latent_frames: int) -> Tensor:
    """A strength for each latent frame, `t`, rising or falling evenly from `start` to `end`.

    Raises ValueError for strengths outside 0 to 1.
    """
    for value in (start, end):
        if not 0 <= value <= 1:
            raise ValueError(f"strength is {value}; it must be between 0 (unchanged) and 1 (text to video)")
    return torch.linspace(start, end, latent_frames)


def sdedit(geometry: Geometry, latent: Tensor, strength: Tensor, region: Tensor | None = None) -> Known:
    """Let each latent frame of `latent` (`b c t h w`) change as much as `strength` `t` says.

    0 leaves it as it is, 1 keeps nothing of it. `region` (`b h w` pixels, 1 = edit) limits the change in space,
    or, as `b t h w`, frame by frame; b may be 1 for all videos.
    Raises ValueError for a region of another size, duration or number of videos.
    """
    mask = strength.to(latent)[None, None, :, None, None].expand(latent.shape[0], 1, *latent.shape[2:])
    if region is not None:
        mask = mask * _cells(geometry, region, latent)[:, None].to(latent)
    return Known(latent, mask.clone())


def _cells(geometry: Geometry, region: Tensor, latent: Tensor) -> Tensor:
    """A region on the cells of a latent: `b t h w`, t as in the latent or 1."""
    b, _, t, h, w = latent.shape
    if region.ndim in (3, 4) and len(region) in (1, b):
        frames = region if region.ndim == 4 else region[:, None]
        cells = geometry.latent_region(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        if region.ndim == 4:
            cells = geometry.latent_mask(cells.movedim(1, -1)).movedim(-1, 1)
        if cells.shape[1] in (1, t) and cells.shape[2:] == (h, w):
            return cells
    raise ValueError(
        f"the region is {tuple(region.shape)}; a video of {geometry.num_frames(t)} frames of"
        f" {w * geometry.space}x{h * geometry.space} takes (b, h, w) or (b, t, h, w) in its own pixels, b = 1"
        + (f" or {b}" if b > 1 else "")
    )


def released(mask: Tensor, sigma: float) -> Tensor:
    """Which cells may change at a noise level: those whose own level in `mask` has been reached, as 0 and 1.

    For models with one noise level for everything: a cell follows the noised original until the level falls to its
    own, and is free from there on (Levin and Fried, Differential Diffusion, 2023).
    """
    return (mask >= sigma - 1e-6).to(mask)
