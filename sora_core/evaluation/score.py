"""Scores as counts: how often a judge saw what was asked for, per attribute, beside what it sees in real clips."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..data.worlds.attributes import ATTRIBUTES

RARE = 1 / 16
"""Attributes asked for less often than this share of the one asked for most are shown, but do not count in a mean: one
or two answers would move it by more points than all others together."""


def counted(asked: Mapping[str, int]) -> list[str]:
    """Which attributes count in a mean, by how often each was asked for."""
    most = max(asked.values(), default=0)
    return [name for name, count in asked.items() if count > 0 and count >= RARE * most]


@dataclass
class Tally:
    """Right answers and questions per attribute."""

    right: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def add(self, wanted: dict[str, str], seen: dict[str, str]) -> None:
        """Count one clip; attributes that the judge does not judge, as motion in stills, are not counted."""
        for name in wanted.keys() & seen.keys():
            self.asked[name] += 1
            self.right[name] += wanted[name] == seen[name]

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.asked + other.asked)

    def accuracy(self) -> dict[str, float]:
        """The share of right answers per attribute that was asked for."""
        return {name: self.right[name] / self.asked[name] for name in ATTRIBUTES if self.asked[name]}


def scored(tally: Tally, ceiling: Tally) -> dict[str, Any]:
    """Per attribute: score, ceiling, their ratio and the number of questions; and the means over those `counted`.

    A ceiling that was not measured is None and counts as 1. `error` is the standard error of the mean score; it adds a
    right and a wrong answer to each attribute (Agresti and Coull, 1998), or few clips that agree would look certain.
    """
    score, best = tally.accuracy(), ceiling.accuracy()
    rows: dict[str, dict[str, Any]] = {
        name: {
            "score": round(value, 4),
            "ceiling": round(best[name], 4) if name in best else None,
            "share": round(value / best[name], 4) if best.get(name) else round(value, 4),
            "asked": tally.asked[name],
        }
        for name, value in score.items()
    }
    if not rows:
        return {"attributes": {}, "score": None, "share": None, "error": None, "worst": None}
    names = counted({name: tally.asked[name] for name in rows})
    guesses = {name: (tally.right[name] + 1) / (tally.asked[name] + 2) for name in names}
    variance = sum(p * (1 - p) / (tally.asked[name] + 2) for name, p in guesses.items())
    return {
        "attributes": rows,
        "score": round(sum(score[name] for name in names) / len(names), 4),
        "share": round(sum(rows[name]["share"] for name in names) / len(names), 4),
        "error": round(math.sqrt(variance) / len(names), 4),
        "worst": min(names, key=lambda name: rows[name]["share"]),
    }
