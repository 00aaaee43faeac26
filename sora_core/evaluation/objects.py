"""Do things stay what they are? The judge looks at every frame by itself and tells when its answer changes for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from statistics import mean
from typing import Any

from torch import Tensor

from ..data.worlds.captions import compose
from ..data.worlds.scene import sample_attributes
from ..pipeline import Sora
from ..randomness import generator
from ..shapes import VideoShape
from .fidelity import SamplerSettings, generated, rendered
from .judge import Judge, answers
from .prompts import Prompt, described

SHAPE = VideoShape(num_frames=17, height=64, width=64, fps=8.0)
"""The shape of clips whose objects are followed."""
Look = dict[str, str]


def looks(judge: Judge, video: Tensor) -> list[Look]:
    """The judge's answers to every frame of a clip `3 t h w`, each seen as a still."""
    return answers(judge, video.transpose(0, 1).unsqueeze(2), 1.0)


def settled(values: list[str]) -> list[str]:
    """The values that follow each other, without those that last one frame: a single slip of the judge is no event."""
    runs: list[list[Any]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    kept = [value for value, length in runs if length > 1] or [values[0]]
    return [value for i, value in enumerate(kept) if i == 0 or value != kept[i - 1]]


def appearances(seen: list[Look]) -> int:
    """How often a second object is there that was not there before."""
    others = settled(["some" if look["second_subject"] != "none" else "none" for look in seen])
    return sum(value == "some" for value in others[1:])


def swaps(seen: list[Look]) -> int:
    """How often the subject becomes another or gets another colour."""
    return sum(len(settled([look[name] for look in seen])) - 1 for name in ("subject", "colour"))


def usual(seen: list[Look]) -> tuple[str, str]:
    """The subject and the colour that most of these frames show."""
    subject, colour = (Counter(look[name] for look in seen).most_common(1)[0][0] for name in ("subject", "colour"))
    return subject, colour


def returns(first: list[Look], last: list[Look], part: int = 4) -> bool:
    """Whether the last frames of a clip show the subject and the colour that the first frames of a clip show."""
    return usual(first[:part]) == usual(last[-part:])


def behind_a_wall(count: int) -> list[Prompt]:
    """Prompts of things that pass behind a wall: other clips than those of training."""
    prompts = []
    for i in range(count):
        draws = generator(i, "evaluation wall")
        a = sample_attributes(draws, held_out=False)
        a = replace(a, motion=("left", "right")[i % 2], camera="static", occluder="wall", second_subject="none",
                    second_colour="none", second_side="none")  # fmt: skip
        prompts.append(Prompt(compose(a, draws, "en", "descriptive").text, {}, 4_000_000 + i, a))
    return prompts


def passes_behind(judge: Judge, video: Tensor, prompt: Prompt) -> bool:
    """Whether a clip `3 t h w` has what its prompt of `behind_a_wall` asks for: a wall, and a thing that moves past."""
    (seen,) = answers(judge, video[None], SHAPE.fps)
    return all(seen[name] == getattr(prompt.attributes, name) for name in ("motion", "occluder"))


def object_report(model: Sora, judge: Judge, count: int, settings: SamplerSettings) -> dict[str, Any]:
    """Events in generated clips beside the same count in rendered ones, where every event is a slip of the judge.

    `appearances per second` and `swaps per minute` on any clips; `behind the wall`: the share of clips in which a thing
    passes there, as it was asked to; `same after the wall`: the share of these whose thing ends as it began, as it does
    wherever nothing passes, with the share of pairs of different clips that would pass as the same by chance; None
    where nothing passes there.
    """
    prompts, walls = described(count, held_out=False, style="descriptive"), behind_a_wall(count)

    def made(wanted: list[Prompt]) -> Iterable[Tensor]:
        return (video for _, part in generated(model, wanted, SHAPE, settings) for video in part)

    report: dict[str, Any] = {"clips": count, "appearances per second": {}, "swaps per minute": {},
                              "behind the wall": {}, "same after the wall": {}}  # fmt: skip
    for kind in ("generated", "rendered"):
        plain = made(prompts) if kind == "generated" else (v[0] for v in rendered(prompts, SHAPE))
        hidden = list(made(walls)) if kind == "generated" else [v[0] for v in rendered(walls, SHAPE)]
        seen, seconds = [looks(judge, video) for video in plain], count * SHAPE.seconds
        report["appearances per second"][kind] = round(sum(map(appearances, seen)) / seconds, 4)
        report["swaps per minute"][kind] = round(60 * sum(map(swaps, seen)) / seconds, 4)
        ends = [looks(judge, video) for video in hidden]
        passed = [passes_behind(judge, video, prompt) for video, prompt in zip(hidden, walls, strict=True)]
        report["behind the wall"][kind] = _share(passed)
        report["same after the wall"][kind] = _share(returns(e, e) for e, p in zip(ends, passed, strict=True) if p)
        if kind == "rendered":
            report["same after the wall"]["other clips"] = _share(
                returns(e, ends[i - j]) for i, e in enumerate(ends) for j in range(1, min(6, count))
            )
    return report


def _share(kept: Iterable[bool]) -> float | None:
    values = [float(k) for k in kept]
    return round(mean(values), 4) if values else None
