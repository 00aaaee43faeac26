"""Training a model's transformer further on a few clips in memory, from one model file to another."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..data.latents import LatentShard
from ..pipeline import Sora
from .dit import DiTTask
from .export import export
from .loop import TrainConfig, Watch, averaged, train
from .parallel import batch_number
from .state import STATE

MOST_TOKENS = 2048
"""Tokens of a step, of as many pieces as fill them; fewer where all pieces together have fewer."""
COMPARED = 8
"""Batches that are compared before and after."""


class DivergedError(ValueError):
    """The training has led the weights away to where they are of no use: nothing can go on from there."""


@dataclass(frozen=True, kw_only=True)
class Further:
    """How to train further. Raises ValueError for a learning rate that is none."""

    steps: int
    lr: float
    seed: int
    pictures: float
    """Share of single frames among the samples."""

    def __post_init__(self) -> None:
        if not 0 < self.lr <= 1:
            raise ValueError(f"the learning rate is {self.lr}; it must be above 0 and at most 1, for instance 0.0001")

    def schedule(self) -> TrainConfig:
        """A tenth of the steps at most to warm up in, and a state every 25, so that a killed run loses little."""
        return TrainConfig(
            steps=self.steps, lr=self.lr, warmup=min(100, self.steps // 10), save_every=25,
            report_every=max(1, min(20, self.steps // 10)), sheet_every=0,
        )  # fmt: skip


def further_task(sora: Sora, shards: list[LatentShard], how: Further) -> DiTTask:
    """The training of a model's transformer on clips, at its beginning."""
    config = sora.config
    held = sum(shard.clips[:, 0, 0].numel() for shard in shards) // math.prod(config.dit.patch)
    words = config.dit.text_tokens * sum(len(shard.clips) for shard in shards)
    task = DiTTask(
        config, shards, sora.text, sora.vae, seed=how.seed, tokens=min(MOST_TOKENS, held + words),
        pictures=how.pictures, compile=False, device=sora.device,
    )  # fmt: skip
    task.dit.load_state_dict(sora.dit.state_dict())
    return task


def train_further(
    task: DiTTask, how: Further, run: Path, *, say: Callable[[str], None], watch: Watch
) -> tuple[float, float]:
    """Train to the end, going on from what the folder `run` holds; returns the loss before it and after it.

    Raises KeyboardInterrupt when `watch` asks to end, with everything saved; DivergedError; and what `train` raises.
    """

    def watched(step: int, loss: float) -> bool:
        if not math.isfinite(loss):
            raise diverged(f"the loss is {loss} after {step} steps", how.lr)
        return watch(step, loss)

    before = loss_of(task)
    weights = train(task, how.schedule(), run, say=say, watch=watched)
    if not all(value.half().isfinite().all() for value in weights.values()):
        raise diverged("the trained weights are too large for a model file", how.lr)
    with averaged(task.module, weights):
        return before, loss_of(task)


@torch.no_grad()
def loss_of(task: DiTTask) -> float:
    """The mean loss of a few batches, the same at every call and none of the training's: steps alone differ more by
    the noise that they draw than by what was learnt.
    """
    return statistics.mean(float(task.loss(batch_number(number, 1))[0]) for number in range(COMPARED))


def diverged(what: str, lr: float) -> DivergedError:
    """The error that names the learning rate."""
    return DivergedError(f"{what}: a learning rate of {lr:g} is too high here; try {lr / 10:g}")


def export_further(run: Path, base: Path, out: Path, blend: float) -> None:
    """Write the model file of a finished run that began with the file `base`. Raises what `export` raises."""
    export({"dit": run / STATE}, None, out, base, blend)
