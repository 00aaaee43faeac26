"""How any video VAE divides frames into latent cells, asked from its own ratios and never assumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shapes import Compression
from ..vae.chunks import surrounded


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The cells of a latent: `to_latent` counts latent frames for frames, `to_frames` the reverse.

    `patch` is how many latent rows and columns a token of the model covers; sizes are rounded to whole tokens.
    """

    channels: int
    space: int
    to_latent: Callable[[int], int]
    to_frames: Callable[[int], int]
    patch: int = 2

    @classmethod
    def of(cls, compression: Compression, channels: int, patch: int = 2) -> Geometry:
        """The geometry of a Sora VAE."""
        return cls(
            channels=channels, space=compression.space, patch=patch,
            to_latent=compression.latent_frames, to_frames=compression.num_frames,
        )  # fmt: skip

    def valid(self, latent_frames: int) -> int:
        """The smallest number of latent frames, at least that many, which a video can have.

        Raises ValueError when there is none nearby: the two ratios contradict each other.
        """
        for k in range(max(1, latent_frames), latent_frames + 66):
            if self.to_latent(self.to_frames(k)) == k:
                return k
        raise ValueError(f"this VAE has no video of about {latent_frames} latent frames; its two ratios disagree")

    def latent_frames(self, num_frames: int) -> int:
        """The fewest latent frames that hold `num_frames` frames. Raises ValueError for less than one frame."""
        if num_frames < 1:
            raise ValueError(f"num_frames is {num_frames}; a video has at least 1")
        k = self.valid(self.to_latent(num_frames))
        while self.to_frames(k) < num_frames:  # some VAEs round down
            k = self.valid(k + 1)
        return k

    def num_frames(self, latent_frames: int) -> int:
        """Frames that the first `latent_frames` latent frames decode to; 0 for none."""
        return self.to_frames(latent_frames) if latent_frames > 0 else 0

    def whole_frames(self, num_frames: int) -> int:
        """The most frames, at most `num_frames`, that fill their cells entirely when a video begins with them."""
        k = self.latent_frames(num_frames)
        while k > 1 and self.to_frames(k) > num_frames:
            k -= 1
            while k > 1 and self.valid(k) != k:
                k -= 1
        return self.to_frames(k)

    def span(self, cell: int) -> tuple[int, int]:
        """First frame of a latent frame, and the first after it."""
        return self.num_frames(cell), self.num_frames(cell + 1)

    def cell_of(self, frame: int) -> int:
        """The latent frame that a frame belongs to."""
        cell = max(0, self.to_latent(frame + 1) - 1)
        while cell > 0 and self.span(cell)[0] > frame:
            cell -= 1
        while self.span(cell)[1] <= frame:
            cell += 1
        return cell

    def boundary(self, frame: int) -> int:
        """The first frame, not before `frame`, at which a latent frame begins."""
        start, stop = self.span(self.cell_of(frame))
        return start if start == frame else stop

    def whole_cells(self, start: int, stop: int) -> range:
        """The latent frames that lie entirely within the frames `start` to `stop`."""
        if stop <= start:
            return range(0)
        first, last = self.cell_of(start), self.cell_of(stop - 1)
        first += self.span(first)[0] < start
        last -= self.span(last)[1] > stop
        return range(first, max(first, last + 1))

    def latent_mask(self, mask: Tensor) -> Tensor:
        """Per latent frame from per frame: `... t` -> `... k`, the largest value within each cell.

        With 1 = generate, a latent frame is given only if all its frames are.
        """
        latent_frames = self.latent_frames(mask.shape[-1])
        missing = self.num_frames(latent_frames) - mask.shape[-1]
        padded = torch.cat([mask, mask[..., -1:].expand(*mask.shape[:-1], missing)], dim=-1)
        return torch.stack([padded[..., slice(*self.span(j))].amax(-1) for j in range(latent_frames)], dim=-1)

    def latent_region(self, mask: Tensor) -> Tensor:
        """A mask over pixels `b h w` on the grid of tokens: `b h/space w/space`, the largest value in each token."""
        step = self.space * self.patch
        pooled = F.max_pool2d(surrounded(mask[:, None, None].float(), step)[:, 0], step)
        return pooled.repeat_interleave(self.patch, -2).repeat_interleave(self.patch, -1)[:, 0]

    def pad(self, video: Tensor) -> Tensor:
        """Repeat the outer rows and columns of `b 3 t h w` until the size is a whole number of tokens."""
        return surrounded(video, self.space * self.patch)


def frame_at(seconds: float, num_frames: int, fps: float) -> int:
    """The frame at a time; negative times count from the end, so that any just below 0 is the last frame.

    Raises ValueError when the video has no such frame, naming the times that it has.
    """
    if not math.isfinite(seconds):
        raise ValueError(f"the time is {seconds}; it must be a number of seconds")
    frame = round(seconds * fps) if seconds >= 0 else num_frames - max(1, round(-seconds * fps))
    if not 0 <= frame < num_frames:
        last = (num_frames - 1) / fps
        raise ValueError(
            f"the time {seconds:g} s is outside the video; its {num_frames} frames at {fps:g} fps are at 0 to"
            f" {last:g} s, or from the end at {-num_frames / fps:g} to {-1 / fps:g} s"
        )
    return frame
