"""Reading attributes out of text tokens: what the text encoder learns by, and what keeps the refiner from losing any.

An attribute that changes little of a clip counts little in its error, and so do two values that are mirror images of
each other. Left to that error alone, the few tokens that the transformer reads hardly tell left from right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.worlds.attributes import SHEET, Attributes

UNKNOWN = (-100,) * len(SHEET)
"""The labels of words that are about no sandbox clip: they are not asked."""


def reading_labels(attributes: Attributes, mentioned: Collection[str]) -> tuple[int, ...]:
    """What the reader should answer about a caption that mentions these attributes: 0 is "unnamed"."""
    named = zip(SHEET, attributes.indices(), strict=True)
    return tuple(index + 1 if name in mentioned else 0 for name, index in named)


class AttributeReader(nn.Module):
    """One learned question per attribute, asked of the tokens; answers are logits, "unnamed" first."""

    def __init__(self, width: int, generator: torch.Generator):
        super().__init__()
        self.question_embed = nn.Parameter(torch.zeros(len(SHEET), width))
        self.heads = nn.ModuleList(nn.Linear(width, 1 + len(values)) for values in SHEET.values())
        for parameter in self.heads.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5, generator=generator)

    def forward(self, states: Tensor, mask: Tensor) -> list[Tensor]:
        """Tokens `b l d`, mask `b l` -> one `b 1+values` tensor per attribute."""
        scores = (states @ self.question_embed.T).masked_fill(~mask[..., None], -1e9)
        pooled = scores.softmax(1).transpose(1, 2) @ states  # b attributes d
        return [head(pooled[:, i]) for i, head in enumerate(self.heads)]

    def fit(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]], *, rounds: int = 8, lr: float = 3e-3) -> float:
        """Learns to read tokens that stay as they are, from batches of states, mask and labels; the last round's loss.

        A training that goes on from trained weights begins with this: what a fresh reader asks for is noise, and they
        would be led away by it before it has learned to read.
        """
        kept = [(states.detach(), mask, labels) for states, mask, labels in batches]
        optimizer = torch.optim.Adam(self.parameters(), lr=lr)
        total = 0.0
        for part in range(rounds):
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - part / rounds)
            total = 0.0
            for states, mask, labels in kept:
                loss = reading_loss(self(states, mask), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach())
        return total / len(kept)


@runtime_checkable
class Reading(Protocol):
    """A training with a reader beside the network."""

    def fit_reader(self) -> float:
        """Teach the reader what the network's tokens say by now; returns its loss."""
        ...


def reading_loss(answers: list[Tensor], labels: Tensor) -> Tensor:
    """Cross-entropy of the reader's answers, summed over attributes; 0 when no text of the batch is asked about."""
    asked = max(1, int((labels[:, 0] != UNKNOWN[0]).sum()))
    sums = [
        F.cross_entropy(answer.float(), labels[:, i], ignore_index=UNKNOWN[i], reduction="sum")
        for i, answer in enumerate(answers)
    ]
    return torch.stack(sums).sum() / asked
