"""The frames of a latent, of whole patches, and those of the video that was asked for, each made from the other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .shapes import VideoShape


def framed(frames: Tensor, shape: VideoShape) -> Tensor:
    """The video `b c t height width` of `shape` that lies in a latent's frames `b c t h w` in [0, 1]."""
    return resized(frames[..., *shape.area(*frames.shape[-2:])], shape.height, shape.width)


def unframed(video: Tensor, shape: VideoShape, height: int, width: int) -> Tensor:
    """The frames `b c t height width` of a latent in which the given `video` `b c t h w` of `shape` lies.

    Around it its outer rows and columns are repeated. `framed` gives it back.
    """
    rows, columns = shape.area(height, width)
    part = resized(video, rows.stop - rows.start, columns.stop - columns.start)
    around = (columns.start, width - columns.stop, rows.start, height - rows.stop)
    return F.pad(part, (*around, 0, 0), mode="replicate")


def resized(video: Tensor, height: int, width: int) -> Tensor:
    """Each frame of `b c t h w` in [0, 1] smoothly made larger or smaller."""
    if video.shape[-2:] == (height, width):
        return video
    frames = video.transpose(1, 2).flatten(0, 1).float()  # a CPU resizes nothing smaller
    frames = F.interpolate(frames, (height, width), mode="bicubic", antialias=True).clamp_(0, 1).to(video)
    return frames.unflatten(0, (len(video), -1)).transpose(1, 2)
