"""Flat pictures: shapes in plain colours laid over each other, four samples to a pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pixels import to_floats

Colour = tuple[float, float, float]
WHITE: Colour = (0.97, 0.97, 0.97)


class Canvas:
    """t frames of one size, painted in the order of the calls.

    Places are right (`u`) and up (`v`) of the middle in units of half the shorter side. Numbers may be one for all
    frames or tensors (t 1 1) with one per frame.
    """

    def __init__(self, num_frames: int, height: int, width: int, background: Colour):
        if min(num_frames, height, width) < 1:
            raise ValueError(
                f"a clip of {num_frames} frames, {width}x{height} pixels was asked for; every one of these must be"
                " positive"
            )
        half = min(height, width)
        self.u = ((torch.arange(2 * width) + 0.5 - width) / half).expand(1, 2 * height, -1)
        self.v = ((height - torch.arange(2 * height) - 0.5) / half)[:, None].expand(1, -1, 2 * width)
        self.wide, self.tall = width / half, height / half
        self.pixels = torch.tensor(background)[:, None, None].expand(num_frames, 3, 2 * height, 2 * width).clone()

    def lay(self, mask: Tensor, colour: Colour | Tensor) -> None:
        """Paint where `mask` (t or 1, 2h, 2w) is true; `colour` may be a picture (t or 1, 3, 2h, 2w)."""
        paint = colour if isinstance(colour, Tensor) else torch.tensor(colour)[:, None, None]
        self.pixels = torch.where(mask[:, None], paint, self.pixels)

    def box(self, left: float | Tensor, bottom: float | Tensor, right: float | Tensor, top: float | Tensor) -> Tensor:
        """The samples within a rectangle."""
        return (self.u >= left) & (self.u < right) & (self.v >= bottom) & (self.v < top)

    def disc(self, u: float | Tensor, v: float | Tensor, radius: float) -> Tensor:
        """The samples within a circle."""
        return (self.u - u).square() + (self.v - v).square() < radius * radius

    def bar(self, start: tuple[Tensor, Tensor], along: tuple[float, float], radius: float) -> Tensor:
        """The samples nearer than `radius` to the line from `start` (tensors t 1 1) to `start + along`."""
        du, dv = self.u - start[0], self.v - start[1]
        share = ((du * along[0] + dv * along[1]) / (along[0] ** 2 + along[1] ** 2)).clamp(0, 1)
        return (du - share * along[0]).square() + (dv - share * along[1]).square() < radius * radius

    def frames(self) -> Tensor:
        """The frames (t h w 3), uint8."""
        small = F.avg_pool2d(self.pixels, 2)
        return small.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous()

    def halved(self, mask: Tensor) -> Tensor:
        """A mask of samples (t 2h 2w) as one of pixels (t h w): true where most of the pixel is."""
        return F.avg_pool2d(mask[:, None].float(), 2)[:, 0] > 0.5


def nearest_colour(frames: Tensor, colours: list[Colour]) -> Tensor:
    """Which of `colours` each pixel of `frames` (... 3, uint8 or floats in [0, 1]) resembles most, as indices (...)."""
    pixels = to_floats(frames)
    return torch.stack([(pixels - torch.tensor(c)).square().sum(-1) for c in colours]).argmin(0)
