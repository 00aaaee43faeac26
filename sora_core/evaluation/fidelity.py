"""Text fidelity: clips are generated from prompts, a judge says what it sees, and rendered clips give its ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.worlds import Attributes, render, sample_scene
from ..framing import framed
from ..pipeline import DEFAULT_GUIDANCE, DEFAULT_STEPS, Sora
from ..randomness import generator
from ..shapes import VideoShape
from ..training.precision import mixed
from .judge import Judge, answers
from .prompts import Prompt
from .score import Tally

_PIXELS_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How clips are generated."""

    steps: int = DEFAULT_STEPS
    guidance: float = DEFAULT_GUIDANCE
    sampler: str = "dpmpp_2m"


def generated(
    model: Sora, prompts: list[Prompt], shape: VideoShape, settings: SamplerSettings
) -> Iterator[tuple[list[Prompt], Tensor]]:
    """Batches of prompts with their clips `b 3 t h w` in [0, 1], exactly of `shape`."""
    batch = max(1, min(16, _PIXELS_AT_ONCE // (shape.num_frames * shape.height * shape.width)))
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        with torch.inference_mode(), mixed(model.device):
            latent = model.sample(
                [p.text for p in part], shape, [p.seed for p in part],
                steps=settings.steps, guidance=settings.guidance, sampler=settings.sampler,
            )  # fmt: skip
            video = model.frames(latent)
        yield part, framed(video[:, :, : shape.num_frames], shape)


def fidelity(model: Sora, judge: Judge, prompts: list[Prompt], shape: VideoShape, settings: SamplerSettings) -> Tally:
    """How often clips of `shape` show what their prompts state."""
    tally = Tally()
    for part, video in generated(model, prompts, shape, settings):
        for prompt, seen in zip(part, answers(judge, video, shape.fps), strict=True):
            tally.add(prompt.wanted, seen)
    return tally


def rendered(prompts: list[Prompt], shape: VideoShape) -> Iterator[Tensor]:
    """The real clip `1 3 t h w` in [0, 1] of every prompt that has one, at `shape`."""
    for prompt in prompts:
        if prompt.attributes is not None:
            draws = generator(prompt.seed, "evaluation scene")
            scene = sample_scene(draws, prompt.attributes, seconds=max(shape.seconds, 1.0))
            clip = render(scene, shape.num_frames, shape.height, shape.width, shape.fps, want_truth=False)
            yield clip.frames.permute(3, 0, 1, 2)[None].float().div(255)


def present(attributes: Attributes) -> dict[str, str]:
    """What there is to be seen in a clip: its attributes without those that say that something is absent."""
    values = {name: getattr(attributes, name) for name in attributes.__dataclass_fields__}
    return {name: value for name, value in values.items() if value != "none"}


def ceiling(judge: Judge, prompts: list[Prompt], shape: VideoShape, vae: torch.nn.Module | None = None) -> Tally:
    """How often the judge is right about real clips of `shape`; with a `vae`, after compression by it.

    Clips that were added for what few have are harder to judge: of them, too, only that is asked.
    """
    tally = Tally()
    known = [prompt for prompt in prompts if prompt.attributes is not None]
    for prompt, video in zip(known, rendered(known, shape), strict=True):
        if vae is not None:
            from .reconstruction import rebuilt

            video = rebuilt(vae, video)
        assert prompt.attributes is not None
        shown = present(prompt.attributes)
        asked = shown if prompt.about is None else {name: shown[name] for name in shown.keys() & prompt.about}
        tally.add(asked, answers(judge, video, shape.fps)[0])
    return tally
