"""A long video from a loaded Sora: prompts that change over time, a window at a time, in seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..diffusion.conditioning import Known
from ..diffusion.noise import draw_noise
from ..diffusion.samplers import Denoiser
from ..shapes import LatentShape, VideoShape
from ..text.timeline import Segment
from .geometry import Geometry
from .long import SampleWindow, Window, plan, sample_long
from .long_state import LongState, fingerprint, weights_fingerprint
from .regenerate import DEFAULT, Sampling, regenerate
from .sdedit import strength_at
from .tiles import tiled
from .timed import timed, timeline_weights

if TYPE_CHECKING:
    from ..pipeline import Sora


def window_cells(geometry: Geometry, fps: float, seconds: float, overlap: float) -> tuple[int, int]:
    """Latent frames of a window of `seconds` and of the `overlap` seconds that it takes over, at least 1.

    Raises ValueError for durations that are not positive numbers.
    """
    for name, value in (("window", seconds), ("overlap", overlap)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value} seconds; it must be above 0, for instance 1")
    return geometry.latent_frames(max(1, round(seconds * fps))), max(1, past_cells(geometry, fps, overlap))


def usual_overlap(window: float) -> float:
    """The seconds that windows of so many seconds share where nothing else is asked for."""
    return min(0.5, window / 4)


def planned(
    geometry: Geometry, fps: float, latent_frames: int, window: float, overlap: float, *, anchor: bool = True,
    loop: bool = False,
) -> list[Window]:  # fmt: skip
    """`plan` of a `window` and an `overlap` in seconds; what it raises then says how long a latent frame is."""
    cells = window_cells(geometry, fps, window, overlap)
    try:
        return plan(latent_frames, *cells, anchor=anchor, loop=loop)
    except ValueError as error:
        each = (geometry.num_frames(3) - geometry.num_frames(2)) / fps
        raise ValueError(f"{error}; a latent frame is {each:g} s here") from None


def past_cells(geometry: Geometry, fps: float, seconds: float) -> int:
    """Latent frames of the last `seconds` of a video, none of which is its first."""
    return geometry.latent_frames(round(seconds * fps) + 1) - 1


def fused_cells(geometry: Geometry, fps: float, seconds: float) -> int:
    """Latent frames of the `seconds` of each overlap that are made again.

    Raises ValueError for a duration that is negative or no number.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"fusion is {seconds} seconds; it must be 0 or more, for instance 0.5")
    return past_cells(geometry, fps, seconds)


@torch.inference_mode()
def long_video(
    sora: Sora, prompt: str | list[Segment], shape: VideoShape, seed: int, *, window: float = 2.0, overlap: float = 0.5,
    anchor: bool = True, correction: float = 0.5, history: float = 0.0, fusion: float = 0.0, loop: bool = False,
    given: Known | None = None, blend: float = 0.5, state: Path | None = None, tile: int | None = None,
    sampling: Sampling = DEFAULT, report: Callable[[Window], Any] | None = None,
) -> Tensor:  # fmt: skip
    """The latent `1 c t h w` of a video of any duration; `window`, `overlap` and `fusion` are seconds.

    `prompt` is a text or a timeline. See `sample_long` for `given`, `correction`, `history`, `state` and `report`, and
    `plan` for `anchor` and `loop`; a loop is for `vae.decode_circular`. With a `tile`, frames are seen in squares of so
    many latent cells; where nothing is given, each of them shows the whole prompt. A video that fits one window is what
    `Sora.sample` makes.
    Raises ValueError for durations that leave nothing new in a window, or nothing in an overlap that stays.
    """
    latent = sora.latent_shape(shape, circular=loop)
    geometry = Geometry.of(sora.config.vae.compression, latent.channels)
    windows = planned(geometry, shape.fps, latent.frames, window, overlap, anchor=anchor, loop=loop)
    again = fused_cells(geometry, shape.fps, fusion)
    segments = [Segment(0, math.inf, prompt)] if isinstance(prompt, str) else prompt
    file = None
    if state is not None:
        weights = weights_fingerprint(sora.dit, sora.text)
        known = fingerprint([given.clean, given.mask] if given else [])
        file = LongState(
            state,
            identity(
                shape,
                seed,
                windows,
                segments,
                [correction, history, again, blend, weights, known, tile],
                replace(sampling, interval=sampling.interval or sora.guided_levels()),
            ),
        )
    sample = sora_sampler(sora, segments, latent, shape.fps, seed, blend, sampling, tile)
    # Masks hold strengths here, and `history` is the noise itself.
    handed = strength_at(history) if 0 <= history < 1 else history
    made = sample_long(
        sample, latent, windows, given=given, correction=correction, history=handed, fusion=again, state=file,
        report=report,
    )  # fmt: skip
    if file is not None:
        file.finish(made, len(windows))
    return made


def sora_sampler(
    sora: Sora, segments: list[Segment], latent: LatentShape, fps: float, seed: int, blend: float, sampling: Sampling,
    tile: int | None = None,
) -> SampleWindow:  # fmt: skip
    """Samples windows of one video with Sora's own network; the noise of a latent frame depends on its number alone.

    With a `tile`, frames are seen in overlapping squares of so many latent cells.
    """
    cells = sora.config.vae.compression
    weights = timeline_weights(segments, Geometry.of(cells, latent.channels), latent.frames, fps, blend)

    def sample(window: Window, known: Known) -> Tensor:
        def denoiser(text: str) -> Denoiser:
            start = window.start(cells.num_frames, fps)
            model = sora.denoiser([text], fps=fps, start=start, continued=window.continued)
            return tiled(model, tile, tile // 8, sora.config.dit.patch) if tile else model

        here = weights[:, window.prompt_cells]
        parts = [(denoiser(s.prompt), w) for s, w in zip(segments, here, strict=True) if w.any()]
        model = parts[0][0] if len(parts) == 1 else timed([p for p, _ in parts], torch.stack([w for _, w in parts]))
        negative = sampling.negative
        settings = replace(sampling, negative=denoiser(negative) if isinstance(negative, str) else negative)
        noise = draw_noise(replace(latent, frames=len(window.cells)), [seed], window.cells)
        return regenerate(sora, known, model, fps, seed, settings, noise=noise)

    return sample


def identity(
    shape: VideoShape, seed: int, windows: list[Window], segments: list[Segment], more: list[Any],
    sampling: Sampling,
) -> str:  # fmt: skip
    """Everything that decides a video but the weights and what is given, which `more` may tell, as one string."""
    prompts = [[s.start, str(s.end), s.prompt] for s in segments]
    walk = [sampling.steps, sampling.guidance, str(sampling.negative), sampling.rescale, sampling.interval]
    cells = [w.cells for w in windows]
    return json.dumps([vars(shape), seed, cells, prompts, *more, *walk, sampling.sampler])
