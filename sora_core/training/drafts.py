"""What a critic misses in clips that the transformer draws while it trains: a gradient through a whole sampling.

The error of noised clips says little about what a clip shows and where that goes: it is decided in the first steps of
sampling, by the words alone, where the best prediction is a mean of all that could come. What comes out in the end is
one of them, and whether it is the one that was asked for can be read and made likelier (Clark et al., "Directly
fine-tuning diffusion models on differentiable rewards", 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.latents import LatentShard
from ..data.worlds.attributes import SHEET
from ..evaluation.judge import MOVING
from .critic import Critic, through_noise
from .rows import Rows, Sequence

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

    The captions leave little open: of what is left open, the one that lets the rest be read best would win, as sunsets
    did in trainings with short ones.

    Raises ValueError when there are no such clips.
    """

    def __init__(self, rows: Rows, share: float):
        self.rows, self.share, self.weights = rows, share, draft_weights(rows.shards)
        if not self.weights.any():
            raise ValueError("the folder holds no sandbox clips to draw drafts of; make some with: sora worlds")

    def asked(self, draws: torch.Generator) -> list[Sequence]:
        """Clips of one size, each with words."""
        number = int(torch.multinomial(self.weights, 1, generator=draws))
        rows, shard, sequences = self.rows, self.rows.shards[number], list[Sequence]()
        left = self.share * rows.tokens
        while left > 0:
            row = int(torch.multinomial(rows.clip_weights[number], 1, generator=draws))
            mirror = int(torch.randint(2, (), generator=draws))
            text, labels = rows.words(shard, row, mirror, draws, "descriptive")
            if text:
                latent = shard.clips[row, mirror].float()
                sequences.append(rows.sequence(latent, text, labels, shard.fps, draws, circular=False))
                left -= len(sequences[-1].tokens) + rows.config.dit.text_tokens
        return sequences


def missed(critic: Critic, made: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
    """Cross-entropy of a critic's answers about latents `made`, `b c t h w`, summed over what was asked for: `b`.

    `labels` are those of `reading_labels`, `b a`. A second toy shall be on one side, on whichever if none was named.
    """
    noisy, sigma, _ = through_noise(made, draws)
    total = torch.zeros(len(made), device=made.device)
    for i, (name, logits) in enumerate(zip(SHEET, critic(noisy, sigma), strict=True)):
        if made.shape[2] == 1 and name in MOVING:
            continue
        answers, label = -logits.float().log_softmax(-1), labels[:, i]
        asked = answers.gather(1, (label - 1).clamp(min=0)[:, None])[:, 0]
        total = total + asked.where(label > 0, 0)
        if name == "second_side":
            there = labels[:, list(SHEET).index("second_subject")] > 1
            total = total + answers[:, 1:].amin(1).where(there & (label == 0), 0)
    return total
