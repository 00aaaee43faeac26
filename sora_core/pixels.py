"""Pixels as whole numbers from 0 to 255, as files hold them, and as numbers from 0 to 1, as networks want them."""

from __future__ import annotations

import torch
from torch import Tensor


def to_floats(pixels: Tensor) -> Tensor:
    """Pixels of any shape in [0, 1], float32, from uint8 or from such numbers."""
    return pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels.float()


def to_bytes(pixels: Tensor) -> Tensor:
    """Pixels of any shape as uint8, from uint8 or from floats in [0, 1]; raises what `in_range` raises."""
    return pixels if pixels.dtype == torch.uint8 else in_range(pixels).mul(255).round().byte()


def in_range(pixels: Tensor) -> Tensor:
    """`to_floats` clamped to [0, 1]. Raises ValueError for NaN and for other kinds of numbers."""
    if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
        raise ValueError(f"frames are {pixels.dtype}; give uint8 in 0..255 or floats in 0..1")
    if not torch.isfinite(pixels).all():
        raise ValueError("frames hold NaN or infinite pixels; give finite values in 0..1")
    return to_floats(pixels).clamp(0, 1)


def check_video(video: Tensor) -> None:
    """Raise ValueError for what is no video `b 3 t h w` of floats, such as the bytes that a file is read as."""
    if video.ndim != 5 or video.shape[1] != 3 or not video.is_floating_point():
        raise ValueError(
            f"the video is {tuple(video.shape)}, {video.dtype}; it must be (b, 3, t, h, w), floats in [0, 1]: frames"
            " (t, h, w, 3) of a file become that by to_floats(frames).movedim(-1, 0)[None]"
        )
