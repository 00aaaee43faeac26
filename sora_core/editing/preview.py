"""From preview to final: a small video is enlarged and its detail made again by the same model at the larger size."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.conditioning import Known
from ..framing import resized
from ..pixels import check_video
from .geometry import Geometry
from .place import Encode, held
from .sdedit import sdedit


def enlarge(video: Tensor, height: int, width: int) -> Tensor:
    """Resize `b 3 t h w` in [0, 1] smoothly, each frame by itself.

    Raises ValueError when the shape of the picture would change by more than a tenth, and what `check_video` raises.
    """
    check_video(video)
    h, w = video.shape[3:]
    if abs(width * h / (height * w) - 1) > 0.1:
        nearest = max(1, round(width * h / w))
        raise ValueError(
            f"the preview is {w}x{h} but the final video {width}x{height}, of another shape; choose {width}x{nearest}"
        )
    return resized(video, height, width)


def finish(
    geometry: Geometry, encode: Encode, preview: Tensor, height: int, width: int, strength: float = 0.25
) -> Known:
    """What to sample at the larger size: the enlarged preview (`b 3 t h w`), changed up to `strength`.

    Raises ValueError for another shape of the picture or a strength outside 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}; it must be between 0 (only enlarged) and 1 (made anew)")
    larger = geometry.pad(enlarge(preview, height, width))
    frames = geometry.num_frames(geometry.latent_frames(larger.shape[2]))
    latent = encode(held(larger, 0, frames))
    return sdedit(geometry, latent, torch.full((latent.shape[2],), strength))
