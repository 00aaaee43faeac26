"""A video measured as it streams by, alone and against another: what is held of it does not grow with its duration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median

import torch
from torch import Tensor

from ..pixels import to_floats
from .continuity import distance
from .metrics import ssim

MOST_DB = 100.0
"""PSNR of equal videos, in place of infinity, which JSON cannot hold; no larger one is given."""
MOST_STEPS = 1000.0
"""A step where most others are 0, in place of infinity; no step counts as more of them."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How near a video is to its reference: PSNR in dB, SSIM and flicker as `metrics` defines them for whole clips."""

    psnr: float
    ssim: float
    flicker: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A video of some frames, its `steps` from frame to frame (`continuity.jumps`), and how near it is to another.

    `last_step` leads from the last frame to the first; `likeness` is None without a reference.
    """

    num_frames: int
    height: int
    width: int
    steps: tuple[float, ...]
    last_step: float
    likeness: Likeness | None

    @property
    def median(self) -> float:
        """The median step; 0 for a single frame."""
        return median(self.steps) if self.steps else 0.0

    @property
    def jump(self) -> float:
        """The largest step over the median step; 0 where nothing moves, `MOST_STEPS` for a step out of stillness."""
        return self._in_medians(max(self.steps, default=0.0))

    @property
    def jump_at(self) -> int:
        """The frame that the largest step leads to; 0 for a single frame."""
        return self.steps.index(max(self.steps)) + 1 if self.steps else 0

    @property
    def closing(self) -> float:
        """The step from the last frame to the first over the median step, bounded like `jump`."""
        return self._in_medians(self.last_step)

    def _in_medians(self, step: float) -> float:
        if not self.median:
            return MOST_STEPS if step else 0.0
        return min(MOST_STEPS, step / self.median)

    def report(self, fps: float) -> str:
        """All of it in a few lines, with times in seconds at so many frames per second."""
        frames = "1 frame" if self.num_frames == 1 else f"{self.num_frames} frames"
        lines = [f"{frames} of {self.width}x{self.height} at {fps:g} fps, {self.num_frames / fps:.2f} s"]
        if self.likeness:
            like = self.likeness
            equal = " (no difference)" if like.psnr == MOST_DB else ""
            lines.append(f"against the reference: PSNR {like.psnr:.2f} dB{equal}, SSIM {like.ssim:.4f}")
            lines.append(f"flicker of the error: {like.flicker:.2f} (0 stands still, 1.41 is new in every frame)")
        if not max(self.steps, default=0.0):
            return "\n".join([*lines, "nothing moves"])
        lines.append(f"largest step: {self.jump:.2f} times the median, at {self.jump_at / fps:.2f} s")
        lines.append(f"step from the end to the beginning: {self.closing:.2f} times the median")
        if not self.median:
            lines.append("most frames repeat the one before, so the median step is 0")
        return "\n".join(lines)


def measure(video: Iterable[Tensor], reference: Iterable[Tensor] | None = None) -> Comparison:
    """Measure chunks of frames `t h w 3`, uint8 or in [0, 1], and how near they are to as many frames of a reference.

    Held are the first frame, the last one and its error, and a few numbers for each frame.
    Raises ValueError for no frames, frames of two sizes, videos of two lengths, and NaN.
    """
    first = before = error_before = None
    steps: list[float] = []
    errors: list[float] = []
    changes: list[float] = []
    likenesses: list[float] = []
    for frame, other in _pairs(video, reference):
        first = frame if first is None else first
        if before is not None:
            steps.append(distance(frame, before))
        if other is not None:
            error = frame - other
            errors.append(float(error.square().mean()))
            likenesses.append(ssim(frame, other))
            if error_before is not None:
                changes.append(float((error - error_before).square().mean()))
            error_before = error
        before = frame
    if first is None or before is None:
        raise ValueError("there is no frame to measure; give one or more")
    likeness = Likeness(psnr=_decibels(_mean(errors)), ssim=_mean(likenesses), flicker=_flicker(errors, changes))
    height, width = first.shape[2:]
    return Comparison(
        num_frames=len(steps) + 1, height=height, width=width, steps=tuple(steps), last_step=distance(first, before),
        likeness=likeness if errors else None,
    )  # fmt: skip


def _pairs(video: Iterable[Tensor], reference: Iterable[Tensor] | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Each frame with that of the reference, `3 1 h w`."""
    if reference is None:
        for frame in _frames(video):
            yield frame, None
        return
    for frame, other in zip_longest(_frames(video), _frames(reference)):
        if frame is None or other is None:
            fewer, more = ("video", "reference") if frame is None else ("reference", "video")
            raise ValueError(f"the {fewer} has fewer frames than the {more}; give both the same number")
        if frame.shape != other.shape:
            sizes = [f"{part.shape[3]}x{part.shape[2]}" for part in (frame, other)]
            raise ValueError(f"the video is {sizes[0]} and the reference {sizes[1]}; give both the same size")
        yield frame, other.to(frame.device)  # images may be on a card, and a file's frames are not


def _frames(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Single frames `3 1 h w` in [0, 1]. Raises ValueError for NaN."""
    for chunk in chunks:
        for frame in chunk:
            pixels = to_floats(frame)
            if not torch.isfinite(pixels).all():
                raise ValueError("frames hold NaN or infinite pixels; give finite values in 0..1")
            yield pixels.movedim(-1, 0)[:, None]


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _decibels(error: float) -> float:
    """PSNR of a mean squared error of pixels in [0, 1], at most `MOST_DB`."""
    return min(MOST_DB, -10 * math.log10(error)) if error else MOST_DB


def _flicker(errors: list[float], changes: list[float]) -> float:
    """RMS of the error's change from frame to frame over RMS of the error; 0 where there is neither."""
    size = _mean(errors)
    return math.sqrt(_mean(changes) / size) if size else 0.0
