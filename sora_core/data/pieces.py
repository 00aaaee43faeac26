"""A few clips of any size and length as training data in memory: cut in time only, at their own aspect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shapes import Compression, VideoShape
from ..vae import VideoVAE
from .latents import LatentShard, encode_clips

MOST_PIXELS = 2**23
"""Of the frames that are encoded at once: 17 pieces of two seconds of 228x128."""


@dataclass(frozen=True)
class Piece:
    """A part of a clip: frames `t h w 3` (uint8), and what they show; empty for nothing."""

    frames: Tensor
    caption: str


def size_for(height: int, width: int, side: int, step: int) -> tuple[int, int]:
    """Multiples of `step` pixels nearest to a frame's own size, or to the size with `side` pixels on the shorter side.

    Raises ValueError for a frame that is smaller than `step`.
    """
    if min(height, width) < step:
        raise ValueError(f"its frames are {width}x{height} pixels; the smallest that the model sees are {step}x{step}")
    scale = min(1.0, side / min(height, width))
    rows, columns = (max(1, round(pixels * scale / step)) for pixels in (height, width))
    return rows * step, columns * step


def resized(frames: Tensor, height: int, width: int) -> Tensor:
    """Frames `t h w 3`, uint8 or in [0, 1], made to cover `height` x `width` and cropped in the middle, as uint8.

    Raises ValueError for numbers that are not finite.
    """
    if not frames.isfinite().all():
        raise ValueError("its frames hold NaN or infinite numbers; connect images in [0, 1]")
    x = frames.float() if frames.dtype == torch.uint8 else frames.float() * 255
    h, w = frames.shape[1:3]
    if (h, w) != (height, width):
        scale = max(height / h, width / w)
        h, w = max(height, round(h * scale)), max(width, round(w * scale))
        x = F.interpolate(
            x.permute(0, 3, 1, 2), size=(h, w), mode="bilinear", antialias=True, align_corners=False
        ).permute(0, 2, 3, 1)
    top, left = (h - height) // 2, (w - width) // 2
    return x[:, top : top + height, left : left + width].round().clamp(0, 255).byte()


def cut(frames: Tensor, seconds: float, fps: float, cells: Compression) -> list[Tensor]:
    """Parts `t h w 3` of equal length that together hold all frames: `seconds` long, rounded up to whole latent frames.

    Where the frames are no multiple of that, parts overlap: none is left out or made up. Of a shorter clip they are as
    many whole latent frames as it has. Raises ValueError for no frames, or for seconds or fps that are none.
    """
    if not len(frames):
        raise ValueError("it holds no frames")
    asked = VideoShape.from_seconds(width=1, height=1, seconds=seconds, fps=fps).num_frames
    length = min(cells.num_frames(cells.latent_frames(asked)), 1 + (len(frames) - 1) // cells.time * cells.time)
    count = math.ceil(len(frames) / length)
    room = len(frames) - length
    starts = [round(room * part / max(1, count - 1)) for part in range(count)]
    return [frames[start : start + length] for start in starts]


def encode_pieces(vae: VideoVAE, pieces: Sequence[Piece], fps: float) -> Iterator[LatentShard]:
    """Latents of pieces of any sizes; those of the same size come together, as many as memory comfortably holds."""
    groups: dict[tuple[int, ...], list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(tuple(piece.frames.shape[:3]), []).append(piece)
    for shape, alike in groups.items():
        batch = max(1, MOST_PIXELS // math.prod(shape))
        for start in range(0, len(alike), batch):
            part = alike[start : start + batch]
            with torch.no_grad():
                clips, pictures = encode_clips(vae, torch.stack([piece.frames for piece in part]))
            labels = torch.zeros(len(part), 0, dtype=torch.uint8)
            captions = tuple((piece.caption,) for piece in part)
            yield LatentShard(clips, pictures, labels, fps, periodic=False, world="footage", captions=captions)
