"""A turn of a play: the window that goes on from what was there, what it sees of that, and the story so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor

from ..diffusion.conditioning import Known
from ..shapes import VideoShape
from .geometry import Geometry
from .long import Window
from .long_video import past_cells
from .play_state import Turn


def next_window(
    geometry: Geometry, cells: int, video: VideoShape, seconds: float, memory: float, number: int
) -> tuple[Window, VideoShape]:
    """The window that adds `seconds` to a `video` of so many latent frames, and the video with what it adds.

    It sees the last `memory` seconds; it adds at least one latent frame.
    Raises ValueError for durations that are no positive numbers.
    """
    for name, value in (("seconds", seconds), ("memory", memory)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; it must be above 0, for instance 1")
    # Of a new latent frame at least the first frame is shown.
    frames = max(video.num_frames + round(seconds * video.fps), geometry.num_frames(cells) + 1)
    seen = max(1, past_cells(geometry, video.fps, memory))
    window = Window(number, range(max(0, cells - seen), cells), range(cells, geometry.latent_frames(frames)))
    return window, replace(video, num_frames=frames)


def seen_in(window: Window, past: Tensor) -> Known:
    """What a window knows of its cells: its past, `1 c t h w`."""
    given = len(window.past)
    clean = past.new_zeros(*past.shape[:2], len(window.cells), *past.shape[3:])
    clean[:, :, :given] = past
    mask = past.new_ones(1, 1, *clean.shape[2:])
    mask[:, :, :given] = 0
    return Known(clean, mask)


def story(turns: Iterable[Turn]) -> str:
    """A numbered line for each turn: its seconds and its action."""
    lines, start = [], 0.0
    for number, turn in enumerate(turns, 1):
        end = turn.video.num_frames / turn.video.fps
        lines.append(f"{number}. {start:.4g}-{end:.4g} s: {' '.join(turn.action.split())}")
        start = end
    return "\n".join(lines)
