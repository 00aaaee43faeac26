"""Videos far longer than a model was made for: window after window, each going on from the latents of the last one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..diffusion.conditioning import Known
from ..shapes import LatentShape

if TYPE_CHECKING:
    from .long_state import LongState


@dataclass(frozen=True)
class Window:
    """One pass over a long latent: `past` is handed over clean, `new` is made; both are numbers of latent frames.

    An anchored window also sees the video's first latent frame, right before its past: it looks like a clip that the
    model knows, a still followed by whole cells, and the beginning's colours stay in sight.
    """

    number: int
    past: range
    new: range
    anchored: bool = False

    @property
    def cells(self) -> list[int]:
        """The latent frames that the model sees, in its order."""
        return [*range(self.anchored), *self.past, *self.new]

    @property
    def prompt_cells(self) -> list[int]:
        """The latent frames whose prompts hold; an anchor takes its neighbour's, not that of the beginning."""
        return self.cells[1:2] + self.cells[1:] if self.anchored else self.cells

    @property
    def given(self) -> int:
        """How many of them are handed over."""
        return len(self.cells) - len(self.new)

    @property
    def continued(self) -> bool:
        """Whether the first one is from the middle of the video rather than its still beginning."""
        return self.cells[0] != 0

    def start(self, num_frames: Callable[[int], int], fps: float) -> float:
        """When the window begins, in seconds of the video; `num_frames` counts the frames of so many latent frames.

        An anchor stands one frame before the past, wherever that is: the model knows no distances of a minute.
        """
        first = (self.past or self.new).start
        return (num_frames(first) - self.anchored) / fps if first else 0.0


SampleWindow = Callable[[Window, Known], Tensor]
"""Samples one window: what is known of its cells gives them all, `b c t h w`."""


def plan(latent_frames: int, window: int, overlap: int, *, anchor: bool = True) -> list[Window]:
    """The windows of a video: each sees at most `window` latent frames, `overlap` or more of them handed over.

    The last one has a longer past rather than a shorter window.
    Raises ValueError when the overlap, and the anchor, leave nothing new in a window.
    """
    most = window - 1 - anchor
    if most < 1:
        raise ValueError(f"the window is {window} latent frames; it must be at least {2 + anchor}")
    if not 1 <= overlap <= most:
        raise ValueError(
            f"the overlap is {overlap} latent frames; for a window of {window} it must be between 1 and {most}"
        )
    windows = [Window(0, range(0), range(min(window, latent_frames)))]
    while (done := windows[-1].new.stop) < latent_frames:
        stop = min(done + window - overlap - anchor, latent_frames)
        past = max(0, done - (window - anchor - (stop - done)))
        # A past that reaches back to the beginning holds the anchor already.
        anchored = anchor and past > 0
        windows.append(Window(len(windows), range(past, done), range(done, stop), anchored))
    return windows


def statistics(latent: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of `b c t h w`, as `b c 1 1 1`."""
    dims = (2, 3, 4)
    return latent.mean(dims, keepdim=True), latent.std(dims, keepdim=True, correction=0)


def match_statistics(new: Tensor, reference: tuple[Tensor, Tensor], strength: float) -> Tensor:
    """`new` (`b c t h w`) moved towards the mean and deviation of each channel in `reference`, without a jump.

    The move grows from its first latent frame to `strength`, between 0 and 1, in its last one, which the next window
    goes on from: what would drift away is brought back as fast as it drifts.
    """
    mean, deviation = statistics(new)
    matched = (new - mean) / deviation.clamp(min=1e-6) * reference[1] + reference[0]
    share = strength * torch.arange(1, new.shape[2] + 1).to(new)[:, None, None] / new.shape[2]
    return new.lerp(matched, share)


def sample_long(
    sample: SampleWindow, shape: LatentShape, windows: list[Window], *, batch: int = 1, given: Known | None = None,
    correction: float = 0.0, history: float = 0.0, state: LongState | None = None,
    report: Callable[[Window], Any] | None = None,
) -> Tensor:  # fmt: skip
    """A long latent `b c t h w`, sampled window by window; memory beside the latent itself is that of one window.

    `given` holds cells of the whole video that are known already; `correction` is the strength of `match_statistics`
    against the first window. `history` is the share of noise on what is handed over: a little makes a model trust its
    own mistakes less (Ho et al., cascaded diffusion, 2022); what was made stays as it was.
    With a `state`, what is done is on disk after each window, and a run that was cut off goes on from there with the
    same result, bit for bit. `report` is called before each window.
    Raises ValueError for a correction or a history outside 0 to 1, and what `LongState.load` raises.
    """
    if not (math.isfinite(correction) and 0 <= correction <= 1):
        raise ValueError(f"correction is {correction}; it must be between 0 (none) and 1 (full)")
    if not (math.isfinite(history) and 0 <= history < 1):
        raise ValueError(
            f"history is {history}; it must be 0 (handed over clean) or more, and below 1: for instance 0.1"
        )
    latent = torch.zeros(batch, *shape.dims)
    done = state.load(latent) if state is not None else 0
    for window in windows[done:]:
        if report is not None:
            report(window)
        known = known_in(window, latent, given, history)
        made = sample(window, known) if known.mask.any() else known.clean
        made = made[:, :, window.given :].to(latent)
        if correction and window.number:
            first = statistics(latent[:, :, windows[0].new.start : windows[0].new.stop])
            matched = match_statistics(made, first, correction)
            made = torch.where(known.mask[:, :, window.given :] == 1, matched, made)
        latent[:, :, window.new.start : window.new.stop] = made
        if state is not None:
            state.save(latent[:, :, : window.new.stop], window.number + 1)
    return latent


def known_in(window: Window, latent: Tensor, given: Known | None, history: float = 0.0) -> Known:
    """What a window starts from: its past from `latent`, noised by `history`, and of new cells what `given` holds."""
    b, _, _, h, w = latent.shape
    cells = window.cells
    clean, mask = latent[:, :, cells], torch.ones(b, 1, len(cells), h, w)
    mask[:, :, : window.given] = history
    if given is not None:
        new = slice(window.new.start, window.new.stop)
        clean[:, :, window.given :] = given.clean[:, :, new].to(latent)
        mask[:, :, window.given :] = given.mask[:, :, new].to(mask)
    return Known(clean, mask)
