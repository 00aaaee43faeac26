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

STEPS = 6
"""Steps of the samplings: fewer than users take, since each costs as much as a training step of as many tokens."""


def draft_weights(shards: list[LatentShard]) -> Tensor:
    """Weights (shards) to draw what is asked for by: the sandbox's clips, stills rarer as they are smaller; 0: none."""

    def weight(shard: LatentShard) -> int:
        told = shard.world == "sandbox" and shard.captions is None and not shard.periodic
        return shard.clips[:, 0, 0].numel() if told else 0

    return torch.tensor([float(weight(shard)) for shard in shards])


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
