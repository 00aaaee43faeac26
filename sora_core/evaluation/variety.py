"""Is what a prompt leaves open as varied as in the clips that it could describe? Read by a judge, as frequencies.

A model can follow words by making all else alike: where every clip is at sunset, toys may be easier to tell apart.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from torch import Tensor

from ..data.worlds.captions import compose
from ..data.worlds.scene import sample_attributes
from ..pipeline import Sora
from ..randomness import generator
from ..shapes import VideoShape
from .fidelity import SamplerSettings, generated, rendered
from .judge import Judge, answers
from .prompts import Prompt

OPEN = ("environment", "time", "motion", "camera")
"""What short prompts leave open, each about every second of them."""
KINDS = ("generated", "rendered")


def short_prompts(count: int) -> list[tuple[Prompt, frozenset[str]]]:
    """Short prompts of clips that training never drew, in both languages, and which attributes each of them names."""
    prompts = []
    for i in range(count):
        attributes = sample_attributes(generator(i, "evaluation variety"), held_out=False)
        language = ("en", "zh")[i % 2]
        said = compose(attributes, generator(i, "evaluation words", language), language, "short")
        prompts.append((Prompt(said.text, {}, 7_000_000 + i, attributes), said.mentioned))
    return prompts


def distance(a: Counter[str], b: Counter[str]) -> tuple[float, float]:
    """Half the sum of differences between the frequencies of two counts, 0 to 1, and what chance alone would give.

    By chance, each frequency of two samples of the same differs by sqrt(2/pi) of its standard deviation on average.
    """
    total, by_chance = 0.0, 0.0
    for value in a.keys() | b.keys():
        p, q = a[value] / a.total(), b[value] / b.total()
        pooled = (a[value] + b[value]) / (a.total() + b.total())
        total += abs(p - q) / 2
        variance = pooled * (1 - pooled) * (1 / a.total() + 1 / b.total())
        by_chance += math.sqrt(2 / math.pi * variance) / 2
    return total, by_chance


def variety_report(
    model: Sora, judge: Judge, count: int, shape: VideoShape, settings: SamplerSettings
) -> dict[str, Any]:  # fmt: skip
    """Per attribute the `distance` of generated clips from rendered ones of the same prompts, where it is left open.

    `shares` are the frequencies themselves, of both kinds. The judge errs about both alike.
    """
    asked = short_prompts(count)
    prompts = [prompt for prompt, _ in asked]
    counts = {kind: {name: Counter[str]() for name in OPEN} for kind in KINDS}

    def look(kind: str, number: int, video: Tensor) -> None:
        seen = answers(judge, video, shape.fps)[0]
        for name in OPEN:
            if name not in asked[number][1]:
                counts[kind][name][seen[name]] += 1

    clips = (video for _, part in generated(model, prompts, shape, settings) for video in part)
    for number, (made, real) in enumerate(zip(clips, rendered(prompts, shape), strict=True)):
        look("generated", number, made[None])
        look("rendered", number, real)
    report: dict[str, Any] = {"clips": count, "shares": {}}
    for name in OPEN:
        made_of, real_of = (counts[kind][name] for kind in KINDS)
        if made_of:
            apart, by_chance = distance(made_of, real_of)
            report[f"{name} left open, distance"] = {"generated": round(apart, 4), "by chance": round(by_chance, 4)}
            report["shares"][name] = {kind: _frequencies(counts[kind][name]) for kind in KINDS}
    return report


def _frequencies(counts: Counter[str]) -> dict[str, float]:
    return {value: round(n / counts.total(), 4) for value, n in counts.most_common()}
