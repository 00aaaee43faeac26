"""What models are asked for when they are scored: prompts with the attributes that each of them states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..data.worlds.attributes import Attributes
from ..data.worlds.captions import compose
from ..data.worlds.scene import sample_attributes
from ..randomness import generator

OUTSIDE = (
    "a violin concerto in an ancient library",
    "seventeen penguins juggling laptops",
    "quantum entanglement explained with spaghetti",
    "一只戴眼镜的章鱼在弹钢琴",
)
"""Prompts about nothing that the worlds can show."""


RARE = {"occluder": {"occluder"}, "second_subject": {"second_subject", "second_colour"}}
"""Attributes that few clips have, each with what is asked about the clips that are added because of it."""


@dataclass(frozen=True)
class Prompt:
    """Words, the values they ask for, and the seed of the noise; `attributes` where a whole clip was described.

    `about` names what alone is asked about a clip that was added because of it.
    """

    text: str
    wanted: dict[str, str]
    seed: int
    attributes: Attributes | None = None
    about: frozenset[str] | None = None


def described(count: int, *, held_out: bool, language: str = "en", style: str = "short", rare: int = 0) -> list[Prompt]:
    """Captions of `count` clips that training never draws: other seeds, or, if `held_out`, other combinations.

    The clips are the same for every language and style, so that their scores compare. What a caption says to be absent
    is not asked for: a model that ignores the words would mostly be right. Few clips have something in front or a
    second toy, so the next ones that do follow until there are `rare` of each; nothing else is asked about those.
    """
    prompts: list[Prompt] = []
    i, found = 0, dict.fromkeys(RARE, 0)
    while i < count or min(found.values()) < rare:
        attributes = sample_attributes(generator(i, "evaluation clip", int(held_out)), held_out)
        present = [name for name in RARE if getattr(attributes, name) != "none"]
        wanting = [name for name in present if found[name] < rare]
        if i < count or wanting:
            said = compose(attributes, generator(i, "evaluation words", language, style), language, style)
            about = None if i < count else frozenset[str]().union(*(RARE[name] for name in wanting))
            asked = sorted(said.mentioned if about is None else said.mentioned & about)
            for name in present if i < count else wanting:
                found[name] += 1
            stated = {name: getattr(attributes, name) for name in asked}
            wanted = {name: value for name, value in stated.items() if value != "none"}
            prompts.append(Prompt(said.text, wanted, 1_000_000 + i, attributes, about))
        i += 1
    return prompts


def paraphrases(path: Path, count: int | None = None) -> list[Prompt]:
    """Sentences of a file of `attribute=value;...<tab>sentence` lines, evenly picked if there are more than `count`.

    Raises ValueError naming the first line that is not one.
    """
    prompts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        labels, tab, text = line.partition("\t")
        pairs = [entry.partition("=") for entry in labels.split(";")]
        if not tab or not all(equals for _, equals, _ in pairs):
            raise ValueError(f"{path.name} line {number} is not attribute=value;... and a sentence after a tab")
        prompts.append(Prompt(text, {name: value for name, _, value in pairs}, 2_000_000 + number))
    if count is None or count >= len(prompts):
        return prompts
    return [prompts[i * len(prompts) // count] for i in range(count)]
