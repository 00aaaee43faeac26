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
    model knows, a still followed by whole cells, and the beginning's colours stay in sight. In a loop every cell is a
    whole one, and the last window also sees the `head` that it runs into, handed over clean like its past.
    """

    number: int
    past: range
    new: range
    anchored: bool = False
    loop: bool = False
    head: range = range(0)

    @property
    def cells(self) -> list[int]:
        """The latent frames that the model sees, in its order."""
        return [*range(self.anchored), *self.past, *self.new, *self.head]

    @property
    def prompt_cells(self) -> list[int]:
        """The latent frames whose prompts hold; an anchor takes its neighbour's, not that of the beginning."""
        return self.cells[1:2] + self.cells[1:] if self.anchored else self.cells

    @property
    def made(self) -> slice:
        """Which of them are new."""
        first = self.anchored + len(self.past)
        return slice(first, first + len(self.new))

    @property
    def continued(self) -> bool:
        """Whether the first one is from the middle of the video rather than its still beginning."""
        return self.loop or self.cells[0] != 0

    def start(self, num_frames: Callable[[int], int], fps: float) -> float:
        """When the window begins, in seconds of the video; `num_frames` counts the frames of so many latent frames.

        An anchor stands one frame before the past, wherever that is: the model knows no distances of a minute.
        """
        first = (self.past or self.new).start
        return (num_frames(first) - self.anchored) / fps if first else 0.0


SampleWindow = Callable[[Window, Known], Tensor]
"""Samples one window: what is known of its cells gives them all, `b c t h w`."""


def plan(latent_frames: int, window: int, overlap: int, *, anchor: bool = True, loop: bool = False) -> list[Window]:
    """The windows of a video: each sees at most `window` latent frames, `overlap` or more of them handed over.

    The last one has a longer past rather than a shorter window. In a `loop` it ends in the `overlap` latent frames that
    the video begins with, and nothing is anchored: no latent frame is a still.
    Raises ValueError when what is handed over leaves nothing new in a window, and for a loop that fits one window.
    """
    anchor = anchor and not loop
    most = (window - 1) // 2 if loop else window - 1 - anchor
    if most < 1:
        raise ValueError(f"the window is {window} latent frames; it must be at least {2 + (anchor or loop)}")
    if not 1 <= overlap <= most:
        raise ValueError(
            f"the overlap is {overlap} latent frames; for a window of {window} it must be between 1 and {most}"
        )
    if loop and latent_frames <= window:
        raise ValueError(
            f"a loop of {latent_frames} latent frames fits a window of {window} and is made in one go by the model of"
            " Sora Seamless Loop; make the window shorter, or the video longer"
        )
    windows = [Window(0, range(0), range(min(window, latent_frames)), loop=loop)]
    while (done := windows[-1].new.stop) < latent_frames:
        stop = min(done + window - overlap - anchor, latent_frames)
        if loop and stop == latent_frames and stop - done > window - 2 * overlap:
            stop -= window - 2 * overlap  # leaves the last window as much as it can make before the head
        head = range(overlap) if loop and stop == latent_frames else range(0)
        past = max(0, done - (window - anchor - len(head) - (stop - done)))
        # A past that reaches back to the beginning holds the anchor already.
        windows.append(Window(len(windows), range(past, done), range(done, stop), anchor and past > 0, loop, head))
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
    correction: float = 0.0, history: float = 0.0, fusion: int = 0, state: LongState | None = None,
    report: Callable[[Window], Any] | None = None,
) -> Tensor:  # fmt: skip
    """A long latent `b c t h w`, sampled window by window; memory beside the latent itself is that of one window.

    `given` holds cells of the whole video that are known already; `correction` is the strength of `match_statistics`
    against the first window. `history` is the share of noise on what is handed over: a little makes a model trust its
    own mistakes less (Ho et al., cascaded diffusion, 2022); what was made stays as it was. The last `fusion` latent
    frames of each past are made again, more and more towards what is new, so that one window fades into the next.
    With a `state`, what is done is on disk after each window, and a run that was cut off goes on from there with the
    same result, bit for bit. `report` is called before each window.
    Raises ValueError for a correction or a history outside 0 to 1, a fusion that leaves a window nothing that stays
    as it is, something given for another shape, and what `LongState.load` raises.
    """
    if given is not None:
        given.check_shape(shape.dims)
    if not (math.isfinite(correction) and 0 <= correction <= 1):
        raise ValueError(f"correction is {correction}; it must be between 0 (none) and 1 (full)")
    if not (math.isfinite(history) and 0 <= history < 1):
        raise ValueError(
            f"history is {history}; it must be 0 (handed over clean) or more, and below 1: for instance 0.1"
        )
    shortest = min((len(w.past) for w in windows[1:]), default=fusion + 1)
    if not 0 <= fusion < shortest:
        raise ValueError(
            f"fusion is {fusion} latent frames of an overlap of {shortest}; it must be between 0 and {shortest - 1}:"
            " give a shorter fusion or a longer overlap"
        )
    latent = torch.zeros(batch, *shape.dims)
    done = state.load(latent) if state is not None else 0
    for window in windows[done:]:
        if report is not None:
            report(window)
        known = known_in(window, latent, given, history, fusion)
        seen = sample(window, known).to(latent) if known.mask.any() else known.clean
        made = seen[:, :, window.made]
        if correction and window.number:
            first = statistics(latent[:, :, windows[0].new.start : windows[0].new.stop])
            matched = match_statistics(made, first, correction)
            made = torch.where(known.mask[:, :, window.made] == 1, matched, made)
        latent[:, :, window.new.start : window.new.stop] = made
        start = window.new.start
        if seam := fused(window, fusion):
            start = seam.start
            before = slice(window.made.start - len(seam), window.made.start)
            again = fading(seam, given, latent) > 0
            latent[:, :, seam.start : seam.stop] = torch.where(again, seen[:, :, before], known.clean[:, :, before])
        if state is not None and len(windows) > 1:
            state.save(latent[:, :, start : window.new.stop], start, window.number)
    return latent


def known_in(window: Window, latent: Tensor, given: Known | None, history: float = 0.0, fusion: int = 0) -> Known:
    """What a window starts from: its past and its head from `latent`, and of its new cells what `given` holds.

    What is handed over is noised by `history`; of the last `fusion` latent frames of the past, more and more is new.
    """
    b, _, _, h, w = latent.shape
    cells = window.cells
    clean, mask = latent[:, :, cells], torch.full((b, 1, len(cells), h, w), float(history))
    mask[:, :, window.made] = 1
    if given is not None:
        new = slice(window.new.start, window.new.stop)
        clean[:, :, window.made] = given.clean[:, :, new].to(latent)
        mask[:, :, window.made] = given.mask[:, :, new].to(mask)
    if seam := fused(window, fusion):
        mask[:, :, window.made.start - len(seam) : window.made.start] = fading(seam, given, latent).clamp(min=history)
    return Known(clean, mask)


def fused(window: Window, fusion: int) -> range:
    """The latent frames of a window's past that are made again."""
    return window.past[len(window.past) - fusion :]


def fading(seam: range, given: Known | None, latent: Tensor) -> Tensor:
    """How much of each latent frame of a `seam` is made again, `b 1 t h w`; what was given stays."""
    b, _, _, h, w = latent.shape
    share = torch.arange(1, len(seam) + 1) / (len(seam) + 1)
    share = share[:, None, None].expand(b, 1, -1, h, w)
    return share if given is None else share * given.mask[:, :, seam.start : seam.stop].to(share)
