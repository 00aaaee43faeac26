"""What every row of the editing report works with: rendered clips, their prompts, and quick denoisers for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..data.worlds import Attributes
from ..data.worlds.attributes import ATTRIBUTES
from ..data.worlds.captions import compose
from ..diffusion.samplers import Denoiser
from ..editing.recipes import encode
from ..editing.regenerate import Sampling
from ..pipeline import Sora
from ..randomness import generator
from ..shapes import VideoShape
from ..training.precision import mixed
from .fidelity import SamplerSettings, rendered
from .judge import Judge, probabilities
from .metrics import psnr
from .prompts import Prompt, described

SHAPE = VideoShape(num_frames=17, height=64, width=64, fps=8.0)
"""The shape of the rendered clips that are edited."""
AT_ONCE = 16
T = TypeVar("T")


@dataclass
class Row:
    """What one row of the report found: promises with their bounds, more figures, and clips to look at."""

    promises: list[tuple[str, float | None, str, float]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    sheet: list[Tensor] = field(default_factory=list)
    legend: str = ""
    clips: list[Tensor] = field(default_factory=list)
    """Loops to be played, `3 t h w`."""


@dataclass(frozen=True)
class Bench:
    """A model and its judge; `seeds` clips are edited in every row."""

    sora: Sora
    judge: Judge
    seeds: int
    settings: SamplerSettings

    def sources(self, *, moving: bool = False) -> list[Prompt]:
        """Descriptions of clips that training never drew; `moving` ones state that the subject moves."""
        prompts = described(4 * self.seeds, held_out=False, style="descriptive")
        fit = [p for p in prompts if not moving or p.wanted.get("motion", "still") != "still"]
        return fit[: self.seeds]

    def denoiser(self, prompts: Sequence[str], *, circular: bool = False, exact: bool = False) -> Denoiser:
        """The model under one prompt per video, in the fastest precision unless `exact`."""
        model = self.sora.denoiser(list(prompts), fps=SHAPE.fps, circular=circular)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            with mixed(self.sora.device):
                return model(x, sigma)

        return model if exact else denoise

    def sampling(self, count: int, *, circular: bool = False, exact: bool = False) -> Sampling:
        """The evaluation's settings, for `count` videos at once."""
        negative = self.denoiser([""] * count, circular=circular, exact=exact)
        settings = self.settings
        return Sampling(
            steps=settings.steps, guidance=settings.guidance, sampler=settings.sampler, negative=negative
        )  # fmt: skip

    def decode(self, latent: Tensor, num_frames: int, given: Sequence[bool] = ()) -> Tensor:
        """The first frames of a latent, `b 3 t h w`, exactly."""
        return self.sora.frames(latent, given=given)[:, :, :num_frames]

    def rebuilt(self, video: Tensor) -> Tensor:
        """A video after compression, in the precision of every other clip here."""
        return self.decode(encode(self.sora, video), video.shape[2])

    def believed(self, video: Tensor, name: str, values: Sequence[str]) -> Tensor:
        """How likely the judge holds each clip's own value of one attribute, `b`."""
        index = torch.tensor([ATTRIBUTES[name].index(value) for value in values])
        belief = probabilities(self.judge, video, SHAPE.fps)[list(ATTRIBUTES).index(name)]
        return belief[torch.arange(len(values)), index]


def films(prompts: list[Prompt], shape: VideoShape = SHAPE) -> Tensor:
    """The rendered clips of prompts, `b 3 t h w`."""
    return torch.cat(list(rendered(prompts, shape)))


def batches(items: Sequence[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """Parts of a list, few enough to be sampled at once."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def restyled(prompt: Prompt) -> Prompt:
    """The same subject, colour and motion in another environment at another time of day."""
    assert prompt.attributes is not None
    old = prompt.attributes
    draws = generator(prompt.seed, "evaluation style")

    def other(name: str) -> str:
        rest = [value for value in ATTRIBUTES[name] if value != getattr(old, name)]
        return rest[int(torch.randint(len(rest), (), generator=draws))]

    new: Attributes = replace(old, environment=other("environment"), time=other("time"))
    said = compose(new, generator(prompt.seed, "evaluation style words"), "en", "descriptive")
    wanted = {name: getattr(new, name) for name in sorted(said.mentioned)}
    return Prompt(said.text, wanted, prompt.seed, new)


def loss_of(video: Tensor, rebuilt: Tensor, original: Tensor) -> list[float]:
    """PSNR of each `video` (`b 3 t h w`) against its original, minus that of mere compression, in dB."""
    return [
        psnr(x, reference) - psnr(copy, reference)
        for x, copy, reference in zip(video, rebuilt, original, strict=True)
    ]  # fmt: skip
