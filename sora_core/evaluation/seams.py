"""Seams of long videos: how much more jumps from one window to the next than where any latent frame begins.

Measured for what a window can do with the last one's end: take it over, take over more of it, fade into it, or trust it
a little less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from ..editing.long import plan
from ..editing.long_video import fused_cells, long_video, window_cells
from ..editing.recipes import geometry_of
from ..editing.regenerate import Sampling
from ..pipeline import Sora
from ..shapes import VideoShape
from .continuity import across
from .drift import SUBJECTS

SHAPE = VideoShape(num_frames=97, height=64, width=64, fps=8.0)
WINDOW = 3.0


@dataclass(frozen=True)
class Handover:
    """What the long sampler does between windows: `overlap` and `fusion` in seconds, `history` a share of noise."""

    overlap: float = 1.0
    fusion: float = 0.0
    history: float = 0.0


HANDOVERS = {
    "half a second taken over": Handover(overlap=0.5),
    "a second taken over": Handover(),
    "its last half faded": Handover(fusion=0.5),
    "a tenth of noise on it": Handover(history=0.1),
}


def seam(video: Tensor, begins: list[int], seams: list[int]) -> float:
    """Acceleration at `seams` of `3 t h w` over that elsewhere; `begins` are the frames at which latent frames begin.

    A fade moves a jump to the latent frame before, so the larger of both counts, at seams and elsewhere alike.
    """
    sizes = [across(video, frame) for frame in begins]
    larger = [max(pair) for pair in pairwise([sizes[0], *sizes])]
    at = {begins.index(frame) for frame in seams}
    touched = {place + step for place in at for step in (-1, 0, 1)}
    here = [larger[place] for place in at]
    there = [size for place, size in enumerate(larger) if place not in touched]
    return mean(here) / max(mean(there), 1e-6)


@torch.inference_mode()
def evaluate_seams(
    sora: Sora, *, seeds: int = 2, shape: VideoShape = SHAPE, steps: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """The mean of `seam` over the prompts of `drift` and `seeds` seeds, for each of `HANDOVERS`.

    A fade is left out where latent frames are so long that nothing of the overlap would stay.
    """
    geometry = geometry_of(sora)
    frames = sora.latent_shape(shape).frames
    begins = [geometry.span(cell)[0] for cell in range(2, frames)]  # before the first of them there is but one frame
    report = {}
    for name, way in HANDOVERS.items():
        window, overlap = window_cells(geometry, shape.fps, WINDOW, way.overlap)
        if fused_cells(geometry, shape.fps, way.fusion) >= overlap:
            say(f"seams, {name}: left out, for {way.overlap:g} s are one latent frame of this model")
            continue
        windows = plan(frames, window, overlap)
        seams = [geometry.span(window.new.start)[0] for window in windows[1:]]
        found = []
        for seed in range(seeds):
            for prompt, _ in SUBJECTS:
                latent = long_video(
                    sora, prompt, shape, seed, window=WINDOW, overlap=way.overlap, fusion=way.fusion,
                    history=way.history, sampling=Sampling(steps=steps),
                )  # fmt: skip
                found.append(seam(torch.cat(list(sora.decode(latent, shape)), dim=1), begins, seams))
        report[name] = round(mean(found), 4)
        say(f"seams, {name}: {report[name]:.2f} times the jump of other latent frames")
    return report
