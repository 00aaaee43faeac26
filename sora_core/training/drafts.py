"""What a critic misses in clips that the transformer draws while it trains: a gradient through a whole sampling.

The error of noised clips says little about what a clip shows and where that goes: it is decided in the first steps of
sampling, by the words alone, where the best prediction is a mean of all that could come. What comes out in the end is
one of them, and whether it is the one that was asked for can be read and made likelier (Clark et al., "Directly
fine-tuning diffusion models on differentiable rewards", 2024).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..data.latents import LatentShard
from ..data.worlds.attributes import SHEET
from ..data.worlds.catalogue import shown
from ..evaluation.judge import MOVING
from ..randomness import generator
from .critic import Critic, through_noise
from .rows import Rows, Sequence

NAMES = tuple(SHEET)
KEPT, FEW = 0.9, 8
"""What a step keeps of the excess that was counted before, and clips so few that they say little of it."""
CAPTIONS = 128
"""Captions that tell what words leave open, of those that drafts are drawn for."""
STEPS = 6
"""Steps of the samplings: fewer than users take, since each costs as much as a training step of as many tokens."""


def draft_weights(shards: list[LatentShard]) -> Tensor:
    """Weights (shards) to draw what is asked for by: the sandbox's clips, stills rarer as they are smaller; 0: none."""

    def weight(shard: LatentShard) -> int:
        told = shard.world == "sandbox" and shard.captions is None and not shard.periodic
        return shard.clips[:, 0, 0].numel() if told else 0

    return torch.tensor([float(weight(shard)) for shard in shards])


class Drafts:
    """What clips to draw from noise: for captions of the sandbox's clips, as many as `share` of a row's tokens takes.

    Raises ValueError when there are no such clips.
    """

    def __init__(self, rows: Rows, share: float):
        self.rows, self.share, self.weights = rows, share, draft_weights(rows.shards)
        self.excess = Excess()
        if not self.weights.any():
            raise ValueError("the folder holds no sandbox clips to draw drafts of; make some with: sora worlds")

    def asked(self, step: int) -> tuple[list[Sequence], dict[str, Tensor], torch.Generator]:
        """Clips of one size, each with words; what is `left_open` by such words; and what to draw the clips with."""
        rows, draws = self.rows, generator(self.rows.seed, "drafts", step)
        number = int(torch.multinomial(self.weights, 1, generator=draws))
        shard, sequences = rows.shards[number], list[Sequence]()
        sheets, named = list[tuple[int, ...]](), list[tuple[int, ...]]()
        left = self.share * rows.tokens
        while left > 0 or len(sheets) < CAPTIONS:
            row = int(torch.multinomial(rows.clip_weights[number], 1, generator=draws))
            mirror = int(torch.randint(2, (), generator=draws))
            text, labels = rows.words(shard, row, mirror, draws)
            if not text:
                continue
            sheets.append(shown(shard.world, tuple(shard.labels[row].tolist()), mirrored=bool(mirror)).indices())
            named.append(labels)
            if left > 0:
                latent = shard.clips[row, mirror].float()
                sequences.append(rows.sequence(latent, text, labels, shard.fps, draws, circular=False))
                left -= len(sequences[-1].tokens) + rows.config.dit.text_tokens
        return sequences, left_open(torch.tensor(sheets), torch.tensor(named)), draws


def read(critic: Critic, made: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
    """A critic's answers about latents `made`, `b c t h w`: log-probabilities `b values` of all that it can tell."""
    noisy, sigma, _ = through_noise(made, draws)
    answers = zip(SHEET, critic(noisy, sigma), strict=True)
    still = made.shape[2] == 1
    return {name: logits.float().log_softmax(-1) for name, logits in answers if not (still and name in MOVING)}


def missed(seen: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """Cross-entropy of answers as those of `read`, summed over what was asked for: `b`.

    `labels` are those of `reading_labels`, `b a`. A second toy shall be on one side, on whichever if none was named.
    """
    total = torch.zeros(len(labels), device=labels.device)
    for name, answers in seen.items():
        label = labels[:, NAMES.index(name)]
        asked = -answers.gather(1, (label - 1).clamp(min=0)[:, None])[:, 0]
        total = total + asked.where(label > 0, 0)
        if name == "second_side":
            there = labels[:, NAMES.index("second_subject")] > 1
            total = total - answers[:, 1:].amax(1).where(there & (label == 0), 0)
    return total


class Excess:
    """By how much clips show values more often than clips do whose words leave them open too: a mean over some steps.

    It is kept in memory and begins at zero with every process.
    """

    def __init__(self) -> None:
        self.sums = {name: torch.zeros(len(values)) for name, values in SHEET.items()}
        self.counts = dict.fromkeys(SHEET, 0.0)

    def __getitem__(self, name: str) -> Tensor:
        """What an attribute's values, `values`, are shown too often, -1 to 1; nearer to 0 while few have been seen."""
        return self.sums[name] / (self.counts[name] + FEW)

    def add(self, seen: Mapping[str, Tensor], labels: Tensor, usual: Mapping[str, Tensor]) -> None:
        """Count answers as those of `read` where words leave them open, as labels `b a` tell; `usual`: `values`."""
        for name, frequency in usual.items():
            if name in seen:
                shares = seen[name].detach().exp()[labels[:, NAMES.index(name)] == 0].cpu()
                self.sums[name] = KEPT * self.sums[name] + (shares - frequency).sum(0)
                self.counts[name] = KEPT * self.counts[name] + len(shares)


def strayed(seen: Mapping[str, Tensor], labels: Tensor, excess: Excess) -> Tensor:
    """How likely clips show what, of all that was not asked for, is shown too often: `b`, and below zero too rarely.

    A sunset may be where a critic reads toys best; without this all clips come to be there that are free to.
    """
    total = torch.zeros(len(labels), device=labels.device)
    for name, answers in seen.items():
        free = labels[:, NAMES.index(name)] == 0
        total = total + (answers @ excess[name].to(answers)).where(free, 0)
    return total


def left_open(sheets: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """How often clips show which value, `values`, among those whose words do not say: of `indices` and labels `b a`."""
    frequencies = {}
    for i, (name, values) in enumerate(SHEET.items()):
        free = sheets[labels[:, i] == 0, i]
        if len(free):
            frequencies[name] = torch.bincount(free, minlength=len(values)) / len(free)
    return frequencies
