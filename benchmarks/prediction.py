"""Does a transformer that predicts clean patches learn faster than one that predicts the velocity?

Pairs of small trainings on the bundled model's latents and text: equal weights at the start, equal clips, noise and
optimiser, and equal loss, which is the velocity's squared error. Only what the output stands for differs. Fails where
clean patches are not better.

python benchmarks/prediction.py --steps 120 --seeds 3
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from sora_core.checkpoint import BUNDLED
from sora_core.config import SoraConfig, preset
from sora_core.data.generate import generate_shards
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore
from sora_core.training.dit import DiTTask
from sora_core.training.export import trained_parts, trained_vae
from sora_core.training.loop import TrainConfig, train

FIRST, SHARDS, KEPT = 8, 8, 2
"""Which shards of 48 clips are rendered: wide, tall and square ones. The last, a wide and a tall one, are held out."""
HELD_OUT = 16
"""Rows of noisy samples from clips that were not trained on; the same for all."""


class VelocityTask(DiTTask):
    """The same network, whose output is the velocity from which the clean patches follow."""

    def predict(self, noisy: Tensor, sigma: Tensor, *rest: object) -> Tensor:
        return noisy - sigma[:, None] * super().predict(noisy, sigma, *rest)  # type: ignore[arg-type]


KINDS = {"clean patches": DiTTask, "velocity": VelocityTask}


def small(config: SoraConfig) -> SoraConfig:
    """The bundled configuration with the smallest family member's transformer."""
    nano = preset("nano").dit
    dit = dataclasses.replace(config.dit, width=nano.width, depth=nano.depth, heads=nano.heads, hidden=nano.hidden)
    return dataclasses.replace(config, dit=dit)


@torch.no_grad()
def held_out(kind: type[DiTTask], learnt: DiTTask, shards: list[LatentShard]) -> float:
    """Mean squared error of the clean patches on other clips, over all noise levels of training."""
    task = kind(learnt.config, shards, learnt.text, learnt.vae, seed=999, tokens=2048, compile=False)
    task.module.load_state_dict(learnt.module.state_dict())
    return statistics.mean(task.loss(row)[1]["mse"] for row in range(HELD_OUT))


def trained(kind: type[DiTTask], config: SoraConfig, shards: list[LatentShard], seed: int, steps: int) -> DiTTask:
    """A task whose module has the averaged weights of a short training."""
    vae, text = trained_parts(config, None, None, BUNDLED)
    task = kind(config, shards, text, vae, seed=seed, tokens=1024, compile=False)
    run = TrainConfig(steps=steps, lr=1e-3, warmup=20, sheet_every=steps + 1, save_every=steps, report_every=steps)
    task.sheet = lambda path: None  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        ema = train(task, run, Path(folder), say=lambda _: None)
    task.module.load_state_dict(task.module.state_dict() | ema)
    return task


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config, ratios = small(preset("mini")), []
    with tempfile.TemporaryDirectory() as folder:
        data, latents = Path(folder) / "clips", Path(folder) / "latents"
        generate_shards(data, shards=SHARDS, first=FIRST, clips=48, seed=5, say=lambda _: None)
        store = ClipStore(data)
        encode_store(trained_vae(config, None, BUNDLED), store, latents, say=lambda _: None)
        shards = [LatentShard.load(latents / shard.path.name) for shard in store.shards]
    learnt, kept = shards[:-KEPT], shards[-KEPT:]
    print(f"{'seed':>4}", *(f"{name:>14}" for name in KINDS), f"{'ratio':>7}   (held-out error)")
    for seed in range(arguments.seeds):
        errors = [held_out(kind, trained(kind, config, learnt, seed, arguments.steps), kept) for kind in KINDS.values()]
        ratios.append(errors[0] / errors[1])
        print(f"{seed:>4}", *(f"{error:>14.4f}" for error in errors), f"{ratios[-1]:>7.3f}", flush=True)
    print(f"{' over '.join(KINDS)}: {statistics.median(ratios):.3f} (median of {len(ratios)})")
    return int(statistics.median(ratios) >= 1)


if __name__ == "__main__":
    sys.exit(main())
