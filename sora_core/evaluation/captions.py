"""How much of what a clip shows its caption tells (recall), and how much of what it tells is so (precision)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.worlds.attributes import Attributes
from ..text.recognise import read
from .judge import MOVING


@dataclass(frozen=True)
class CaptionScore:
    """Counts of attribute values; `+` adds them up."""

    right: int = 0
    """Told and shown."""
    told: int = 0
    shown: int = 0

    def __add__(self, other: CaptionScore) -> CaptionScore:
        return CaptionScore(self.right + other.right, self.told + other.told, self.shown + other.shown)

    @property
    def recall(self) -> float:
        return self.right / self.shown if self.shown else 0.0

    @property
    def precision(self) -> float:
        return self.right / self.told if self.told else 0.0


def caption_score(captions: Sequence[str], sheets: Sequence[Attributes], *, still: bool = False) -> CaptionScore:
    """Counts over captions of clips with these attributes. What is absent is neither shown nor told.

    Words are read as prompts are (`recognise.read`), so this holds for captions by anyone.
    """
    score = CaptionScore()
    for text, sheet in zip(captions, sheets, strict=True):
        names = [name for name in sheet.__dataclass_fields__ if not (still and name in MOVING)]
        shown = {name: getattr(sheet, name) for name in names if getattr(sheet, name) != "none"}
        told = {name: value for name, value in read(text).attributes.items() if value != "none"}
        right = sum(shown.get(name) == value for name, value in told.items())
        score += CaptionScore(right, len(told), len(shown))
    return score
