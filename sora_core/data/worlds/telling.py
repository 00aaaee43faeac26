"""Short texts from templates with slots, for worlds whose captions need few words; the sandbox has its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch

from .captions import STYLES, Caption, Draw, capitalised
from .lexicon import LANGUAGES, load

_SLOT = re.compile(r"\{(\w+)\}")


def colour_word(colour: str, draw: Draw, language: str) -> str:
    """A word for a colour, fit to stand before a noun."""
    word = draw.phrase(load(language).phrases["colour"][colour]).text
    return word + "的" if language == "zh" else word


def tell(
    templates: Sequence[str], slots: Mapping[str, tuple[str, str | Sequence[str]]], draw: Draw, language: str
) -> Caption:
    """A caption from one of `templates`, all equally likely.

    `slots` maps a slot to the attribute that it states ("" for none) and to its words: one, or several to choose from.
    In English, "a" before a vowel becomes "an".
    """
    template = draw.choice(templates)
    chosen: dict[str, str] = {}
    for name in _SLOT.findall(template):
        words = slots[name][1]
        chosen.setdefault(name, words if isinstance(words, str) else draw.phrase(words))
    text = _SLOT.sub(lambda match: chosen[match[1]], template)
    if language == "en":
        text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
        if draw.chance(0.6):
            text = capitalised(text)
    if draw.chance(0.5):
        end = "。" if language == "zh" else "."
        text = text.removesuffix(end) + end
    return Caption(text, frozenset(slots[name][0] for name in chosen if slots[name][0]))


def drawer(generator: torch.Generator, language: str, style: str) -> Draw:
    """Choices for one caption. Raises ValueError when language or style is not one that captions have."""
    if language not in LANGUAGES:
        raise ValueError(f'language is {language!r}; it must be "en" or "zh"')
    if style not in STYLES:
        raise ValueError(f'style is {style!r}; it must be "short" or "descriptive"')
    return Draw(generator)
