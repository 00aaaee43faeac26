"""Sizes as types: a video's shape turns itself into the shape of its latent and of its grid of patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Protocol

MAX_TOKENS = 4_000_000
"""Requests above this many tokens are refused: they are typing errors. A minute of 1080p at 24 fps is 3 million."""
CUT = 1 / 12
"""The largest share of a `resized` video's frames, as they are generated, that may be cut away to get its shape."""
ENLARGED = 1.05
"""The most that frames are enlarged by to get a size, which blurs them."""


def margins(size: int, step: int) -> tuple[int, int]:
    """What is added before and after `size` pixels to make whole steps of them: they lie in the middle."""
    missing = -size % step
    return missing // 2, missing - missing // 2


def check_fps(fps: float) -> None:
    """Raise ValueError unless this is a number of frames per second: above 0 and finite."""
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; it must be a positive number, for instance 8")


class Cells(Protocol):
    """What tells how large a latent is: a compression, or the geometry of any other VAE."""

    @property
    def space(self) -> int:
        """Pixels along one side of a cell."""
        ...

    def latent_frames(self, num_frames: int, /) -> int:
        """Latent frames that hold so many frames."""
        ...

    def num_frames(self, latent_frames: int, /) -> int:
        """Frames that so many latent frames decode to."""
        ...


@dataclass(frozen=True, kw_only=True)
class Compression:
    """How many frames and pixels one latent cell stands for; the first latent of a video is one frame alone."""

    time: int
    space: int

    def latent_frames(self, num_frames: int) -> int:
        """Latent frames that hold `num_frames` frames: 1, then one for each further `time` frames or part of them."""
        return 1 + math.ceil((num_frames - 1) / self.time)

    def num_frames(self, latent_frames: int) -> int:
        """Frames that `latent_frames` latent frames decode to."""
        return 1 + (latent_frames - 1) * self.time


@dataclass(frozen=True, kw_only=True)
class LatentShape:
    """The shape of one video's latent: `c t h w`."""

    channels: int
    frames: int
    height: int
    width: int

    @property
    def dims(self) -> tuple[int, int, int, int]:
        """The shape as a tuple `c t h w`."""
        return self.channels, self.frames, self.height, self.width

    def grid(self, patch: tuple[int, int, int]) -> tuple[int, int, int]:
        """Patches along `t h w`. Raises ValueError when the latent is no whole number of patches."""
        sizes = (self.frames, self.height, self.width)
        if any(size % p for size, p in zip(sizes, patch, strict=True)):
            raise ValueError(f"a latent of {sizes} (t, h, w) is not a whole number of {patch} patches")
        return tuple(size // p for size, p in zip(sizes, patch, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class VideoShape:
    """Exactly what was asked for, in frames and pixels; the latent underneath is rounded up and cropped back.

    In time what is too much is at the end; in space it is around the frames: what is in their middle stays there.
    Of a video that is `resized` no more than `CUT` is cropped where that can be: its latent has nearly its proportions,
    and the frames are brought to its size. For what is generated, which else loses what was composed near the edges.
    """

    num_frames: int
    height: int
    width: int
    fps: float = 8.0
    resized: bool = False

    def __post_init__(self) -> None:
        for name in ("num_frames", "height", "width"):
            count = getattr(self, name)
            if count < 1:
                raise ValueError(f"{name} is {count}; it must be at least 1")
            if not float(count).is_integer():
                raise ValueError(f"{name} is {count}; it must be a whole number")
            object.__setattr__(self, name, int(count))  # 64.0 would fail as the end of a slice
        check_fps(self.fps)
        object.__setattr__(self, "fps", float(self.fps))

    @classmethod
    def from_seconds(cls, *, width: int, height: int, seconds: float, fps: float, resized: bool = False) -> VideoShape:
        """The shape of `seconds` of video at `fps`; 0 seconds is a still image of one frame."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds is {seconds}; it must be 0 (a still image) or more")
        check_fps(fps)
        frames = seconds * fps
        if not math.isfinite(frames):
            raise ValueError(
                f"{seconds:g} seconds at {fps:g} fps are more frames than can be counted; give fewer seconds"
            )
        return cls(num_frames=max(1, round(frames)), height=height, width=width, fps=fps, resized=resized)

    @property
    def seconds(self) -> float:
        """Duration; a still image lasts 0 seconds."""
        return 0.0 if self.num_frames == 1 else self.num_frames / self.fps

    def area(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of a latent's frames, of so many pixels, that this video's are: those in the middle.

        They are of another size than this video only where it is `resized`.
        """
        scale = self._scale(height, width)
        rows, columns = self.height, self.width
        if scale != 1:
            rows, columns = min(height, round(rows / scale)), min(width, round(columns / scale))
        top, left = max(0, height - rows) // 2, max(0, width - columns) // 2
        return slice(top, top + rows), slice(left, left + columns)

    def lies_in(self, height: int, width: int) -> bool:
        """Whether frames of a latent, of so many pixels, are enough for this video."""
        return max(self.height / height, self.width / width) <= (ENLARGED if self.resized else 1)

    def _scale(self, height: int, width: int) -> float:
        """What frames of so many pixels are resized by."""
        scale = max(self.height / height, self.width / width)
        return 1 if not self.resized or (scale <= 1 and self._cut(height, width) <= CUT) else scale

    def _cut(self, height: int, width: int, scale: float = 1) -> float:
        """The share of frames of so many pixels that is cut away after they were resized by `scale`."""
        return 1 - self.height * self.width / (height * width * scale * scale)

    def padded(self, compression: Cells, patch: tuple[int, int, int] = (1, 2, 2)) -> VideoShape:
        """The shape of whole patches that is generated: the smallest that holds this one.

        Of a `resized` video it is the smallest with nearly its proportions.
        """
        step = patch[0]
        latent_frames = math.ceil(compression.latent_frames(self.num_frames) / step) * step
        row, column = compression.space * patch[1], compression.space * patch[2]
        height, width = math.ceil(self.height / row) * row, math.ceil(self.width / column) * column
        if self.resized and self._cut(height, width) > CUT:
            height, width = self._alike(row, column)
        return VideoShape(num_frames=compression.num_frames(latent_frames), height=height, width=width, fps=self.fps)

    def _alike(self, row: int, column: int) -> tuple[int, int]:
        """Height and width in whole steps, near this video's, with nearly its proportions."""

        def near(size: int, step: int) -> list[int]:
            return [step * count for count in range(max(1, size // step), math.ceil(size / step) + 2)]

        found = []
        for height, width in product(near(self.height, row), near(self.width, column)):
            scale = max(self.height / height, self.width / width)
            if scale <= ENLARGED:
                cut = self._cut(height, width, scale)
                found.append((max(0.0, cut - CUT), height * width, cut, height, width))
        return min(found)[-2:]

    def latent(
        self,
        compression: Compression,
        channels: int,
        patch: tuple[int, int, int] = (1, 2, 2),
        max_tokens: int = MAX_TOKENS,
    ) -> LatentShape:
        """The latent that holds this video. Raises ValueError when it has more than `max_tokens` patches."""
        padded = self.padded(compression, patch)
        shape = LatentShape(
            channels=channels,
            frames=compression.latent_frames(padded.num_frames),
            height=padded.height // compression.space,
            width=padded.width // compression.space,
        )
        tokens = math.prod(shape.grid(patch))
        if tokens > max_tokens:
            per_frame = tokens // shape.grid(patch)[0]
            if per_frame <= max_tokens:
                frames = compression.num_frames(max_tokens // per_frame * patch[0])
                hint = f"{frames} frames of that size fit"
            else:
                share = math.sqrt(max_tokens / per_frame)
                row, column = compression.space * patch[1], compression.space * patch[2]
                height = min(max(1, math.floor(padded.height / row * share)), max_tokens) * row
                width = max(1, min(math.floor(padded.width / column * share), max_tokens * row // height)) * column
                hint = f"one frame of {width}x{height} fits"
            raise ValueError(
                f"{self.num_frames} frames of {self.width}x{self.height} are {tokens:,} tokens, above the limit of"
                f" {max_tokens:,}: {hint}"
            )
        return shape

    def rounding_note(self, compression: Compression, patch: tuple[int, int, int] = (1, 2, 2)) -> str:
        """One line on what is generated underneath, or an empty string when nothing was rounded."""
        padded = self.padded(compression, patch)
        sizes = [(shape.num_frames, shape.width, shape.height) for shape in (self, padded)]
        if sizes[0] == sizes[1]:
            return ""
        asked, made = (f"{n} frame{'s' * (n != 1)} of {width}x{height}" for n, width, height in sizes)
        how = "cropped" if self._scale(padded.height, padded.width) == 1 else "resized"
        return f"{asked} {'is' if self.num_frames == 1 else 'are'} generated as {made} and {how}"
