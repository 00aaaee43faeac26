"""Is a second toy there once, and on the side that was asked for? Read from pixels, by its colour.

A judge that looks for a toy anywhere is content with two of them, one on either side of the first.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..data.worlds.captions import compose
from ..data.worlds.scene import PALETTE, Mix, sample_attributes
from ..pipeline import Sora
from ..randomness import generator
from ..shapes import VideoShape
from .fidelity import SamplerSettings, generated, rendered
from .prompts import Prompt

SHAPE = VideoShape(num_frames=1, height=64, width=64, fps=8.0)
"""The shape of the stills that are looked at."""
_SKY, _SIDE = 0.3, 0.375
"""The part of the height that is not looked at, and how much of the width each side is."""
_HUE, _SATURATION, _VALUE = 0.06, 0.45, 0.25
_SEEN = 12 / (64 * 64)
"""The share of a frame from which on a colour counts as there."""


def coloured(frame: Tensor, colour: str) -> Tensor:
    """Which pixels `h w` of a frame `3 h w` in [0, 1] have the hue of a colour of the palette, and are no grey."""
    most, least = frame.amax(0), frame.amin(0)
    spread = (most - least).clamp(min=1e-6)
    red, green, blue = frame
    sixth = torch.where(
        most == red, (green - blue) / spread % 6,
        torch.where(most == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )  # fmt: skip
    hue = colorsys.rgb_to_hsv(*PALETTE[colour])[0]
    near = ((sixth / 6 - hue + 0.5) % 1 - 0.5).abs() < _HUE
    return near & (spread > _SATURATION * most) & (most > _VALUE)


def sides_of(frame: Tensor, colour: str) -> set[str]:
    """On which sides of a frame `3 h w` in [0, 1] a colour is to be seen, of "left" and "right"."""
    there = coloured(frame, colour)[int(_SKY * frame.shape[1]) :]
    width = int(_SIDE * frame.shape[2])
    parts = {"left": there[:, :width], "right": there[:, -width:]}
    return {side for side, part in parts.items() if int(part.sum()) >= _SEEN * frame[0].numel()}


def beside_another(count: int) -> list[Prompt]:
    """Descriptive prompts of two toys of which the second's colour is nowhere else in the scene."""
    prompts: list[Prompt] = []
    i = 0
    while len(prompts) < count:
        a = sample_attributes(generator(i, "evaluation pair"), held_out=False, mix=Mix(pairs=1.0, walls=0.0))
        language = ("en", "zh")[i % 2]
        text = compose(a, generator(i, "evaluation words", language), language, "descriptive").text
        prompt = Prompt(text, {}, 6_000_000 + i, a)
        alone = replace(a, second_subject="none", second_colour="none", second_side="none")
        (frame,) = rendered([replace(prompt, attributes=alone)], SHAPE)
        if not sides_of(frame[0, :, 0], a.second_colour):
            prompts.append(prompt)
        i += 1
    return prompts


def pair_report(model: Sora, count: int, settings: SamplerSettings) -> dict[str, Any]:
    """Shares of stills in which the second toy's colour is on one side, and on both, generated and rendered.

    `as asked`: of those on one side, the share that have it where the prompt says; None if there are none.
    """
    prompts = beside_another(count)
    report: dict[str, Any] = {"clips": count, "one side": {}, "both sides": {}, "as asked": {}}
    clips: dict[str, Iterable[Tensor]] = {
        "generated": (video for _, part in generated(model, prompts, SHAPE, settings) for video in part),
        "rendered": (video[0] for video in rendered(prompts, SHAPE)),
    }
    for kind, videos in clips.items():
        seen = list(_seen(prompts, videos))
        once = [(sides, asked) for sides, asked in seen if len(sides) == 1]
        report["one side"][kind] = round(len(once) / count, 4)
        report["both sides"][kind] = round(sum(len(sides) == 2 for sides, _ in seen) / count, 4)
        right = sum(sides == {asked} for sides, asked in once)
        report["as asked"][kind] = round(right / len(once), 4) if once else None
    return report


def _seen(prompts: list[Prompt], videos: Iterable[Tensor]) -> Iterator[tuple[set[str], str]]:
    for prompt, video in zip(prompts, videos, strict=True):
        assert prompt.attributes is not None
        yield sides_of(video[:, 0], prompt.attributes.second_colour), prompt.attributes.second_side
