"""Scores as counts: how often a judge saw what was asked for, per attribute, beside what it sees in real clips."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..data.worlds.attributes import ATTRIBUTES


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
    """Per attribute: score, ceiling, their ratio and the number of questions; and the means over attributes.

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
    guesses = {name: (tally.right[name] + 1) / (tally.asked[name] + 2) for name in rows}
    variance = sum(p * (1 - p) / (tally.asked[name] + 2) for name, p in guesses.items())
    return {
        "attributes": rows,
        "score": round(sum(score.values()) / len(rows), 4),
        "share": round(sum(row["share"] for row in rows.values()) / len(rows), 4),
        "error": round(math.sqrt(variance) / len(rows), 4),
        "worst": min(rows, key=lambda name: rows[name]["share"]),
    }
