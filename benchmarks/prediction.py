"""Does a transformer that predicts clean patches learn faster than one that predicts the velocity?

Pairs of small transformers on the bundled model's latents and text: equal weights at the start, equal batches, equal
optimiser and equal loss, which is the velocity's squared error. Only what the output stands for differs.

python benchmarks/prediction.py --steps 300 --seeds 3
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
from sora_core.training.export import trained_parts
from sora_core.training.loop import TrainConfig, averaged, train

HELD_OUT = 16
"""Rows of noisy samples from clips that were not trained on; the same for all."""


class VelocityTask(DiTTask):
    """The same network, whose output is the velocity from which the clean patches follow."""

    def predict(self, noisy: Tensor, sigma: Tensor, *rest: object) -> Tensor:
        return noisy - sigma[:, None] * super().predict(noisy, sigma, *rest)  # type: ignore[arg-type]


def small(config: SoraConfig) -> SoraConfig:
    """The bundled configuration with the smallest family member's transformer."""
    nano = preset("nano").dit
    dit = dataclasses.replace(config.dit, width=nano.width, depth=nano.depth, heads=nano.heads, hidden=nano.hidden)
    return dataclasses.replace(config, dit=dit)


@torch.no_grad()
def held_out(kind: type[DiTTask], trained: DiTTask, shards: list[LatentShard]) -> float:
    """Mean squared error of the clean patches on other clips, over all noise levels of training."""
    task = kind(trained.config, shards, trained.text, trained.vae, seed=999, tokens=2048, compile=False)
    task.module.load_state_dict(trained.module.state_dict())
    return statistics.mean(task.loss(row)[1]["mse"] for row in range(HELD_OUT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=6, help="of 96 clips, rendered anew; the last is held out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = small(preset("mini"))
    vae, text = trained_parts(config, None, None, BUNDLED)
    rates = {"clean patches": DiTTask, "velocity": VelocityTask}
    with tempfile.TemporaryDirectory() as folder:
        data, latents = Path(folder) / "clips", Path(folder) / "latents"
        generate_shards(data, shards=arguments.shards, seed=5, say=lambda _: None)
        store = ClipStore(data)
        encode_store(vae, store, latents, say=lambda _: None)
        shards = [LatentShard.load(latents / shard.path.name) for shard in store.shards]
        print(f"{'seed':>4} {'clean patches':>14} {'velocity':>10} {'ratio':>7}   error on held-out clips")
        ratios = []
        for seed in range(arguments.seeds):
            errors = {}
            for name, kind in rates.items():
                task = kind(config, shards[:-1], text, vae, seed=seed, tokens=1024, compile=False)
                run = TrainConfig(
                    steps=arguments.steps, lr=1e-3, warmup=20, sheet_every=10**9, save_every=10**9,
                    report_every=arguments.steps,
                )  # fmt: skip
                task.sheet = lambda path: None  # type: ignore[method-assign]
                ema = train(task, run, Path(folder) / f"{kind.__name__}{seed}", say=lambda _: None)
                with averaged(task.module, ema):
                    errors[name] = held_out(kind, task, shards[-1:])
            ratios.append(errors["clean patches"] / errors["velocity"])
            print(
                f"{seed:>4} {errors['clean patches']:>14.4f} {errors['velocity']:>10.4f} {ratios[-1]:>7.3f}", flush=True
            )
    print(f"clean patches over velocity: {statistics.median(ratios):.3f} (median of {len(ratios)})")
    return int(statistics.median(ratios) >= 1)


if __name__ == "__main__":
    sys.exit(main())
