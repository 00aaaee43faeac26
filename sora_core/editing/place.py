"""Frames at any time of a latent: the clip is encoded where it will be, and only cells that it fills are given."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..diffusion.conditioning import Known
from .geometry import Geometry

Encode = Callable[[Tensor], Tensor]
"""Encodes a video `b 3 t h w` in [0, 1] to a latent `b c t h w`."""


def place(
    geometry: Geometry,
    encode: Encode,
    clip: Tensor,
    at: int,
    num_frames: int,
    *,
    strength: float = 1.0,
    region: Tensor | None = None,
) -> Known:
    """Give the frames of `clip` (`b 3 t h w` in [0, 1]) from frame `at` of a video of `num_frames`.

    A latent frame is given if the clip fills all its frames. A clip that fills none (an image in the middle of a
    video) stands still for the one latent frame that it falls in, and one that reaches the end of the video stands
    still for the rest of the last. `strength` 1 keeps the clip, lower values let the model depart from it. `region`
    (`b h w`, 1 = given) limits it in space. Raises ValueError when the clip does not lie within the video, or the
    region is of another size.
    """
    length = clip.shape[2]
    if at < 0 or at + length > num_frames:
        raise ValueError(
            f"a clip of {length} frames from frame {at} does not fit in a video of {num_frames} frames; it has to start"
            f" at frame {max(0, num_frames - length)} or before and be no longer than the video"
        )
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}; it must be between 0 (ignored) and 1 (kept)")
    if region is not None and region.shape[1:] != clip.shape[3:]:
        size = " x ".join(map(str, clip.shape[3:]))
        raise ValueError(f"the region is {tuple(region.shape)}; that of this clip is b h w with {size} pixels (h x w)")
    total = geometry.latent_frames(num_frames)
    cells = given_cells(geometry, at, length, num_frames)
    latent = encode(geometry.pad(held(clip, at, geometry.num_frames(geometry.valid(cells.stop)))))
    check_channels(geometry, latent)
    clean = latent.new_zeros(*latent.shape[:2], total, *latent.shape[3:])
    mask = latent.new_ones(latent.shape[0], 1, *clean.shape[2:])
    here = slice(cells.start, cells.stop)
    clean[:, :, here] = latent[:, :, here]
    # Tokens on the edge of the region count as given only where they lie inside it entirely.
    generate = 0.0 if region is None else geometry.latent_region(1 - region.float())[:, None, None].to(mask)
    mask[:, :, here] = 1 - strength * (1 - generate)
    return Known(clean, mask)


def given_cells(geometry: Geometry, at: int, length: int, num_frames: int) -> range:
    """The latent frames that a clip of `length` frames from frame `at` gives."""
    stop = at + length
    end = geometry.num_frames(geometry.latent_frames(num_frames)) if stop == num_frames else stop
    cells = geometry.whole_cells(at, end)
    if cells:
        return cells
    cell = geometry.cell_of((at + stop - 1) // 2)
    return range(cell, cell + 1)


def held(clip: Tensor, at: int, num_frames: int) -> Tensor:
    """`num_frames` frames in which `clip` runs from frame `at`; before and after it stands still.

    A causal encoder sees what came before, and stillness is what disturbs the clip's own latents least. A clip that is
    all of them is returned as it is.
    """
    if at == 0 and num_frames == clip.shape[2]:
        return clip
    index = (torch.arange(num_frames, device=clip.device) - at).clamp(0, clip.shape[2] - 1)
    return clip[:, :, index]


def merge(first: Known, second: Known) -> Known:
    """Both things given; where both are, the second. Raises ValueError when their latents differ in shape."""
    if first.clean.shape[1:] != second.clean.shape[1:]:
        raise ValueError(
            f"the latents are {tuple(first.clean.shape[1:])} and {tuple(second.clean.shape[1:])} (c, t, h, w); what is"
            " given together must have one size and duration"
        )
    newer = second.mask < 1
    return Known(torch.where(newer, second.clean, first.clean), torch.where(newer, second.mask, first.mask))


def check_channels(geometry: Geometry, latent: Tensor) -> None:
    """Raise ValueError when a latent is not of the kind that the geometry describes."""
    if latent.ndim != 5 or latent.shape[1] != geometry.channels:
        raise ValueError(
            f"the latent is {tuple(latent.shape)}; this VAE's are (b, {geometry.channels}, t, h, w): use the VAE that"
            " belongs to the model"
        )
