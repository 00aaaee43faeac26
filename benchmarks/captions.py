"""Do descriptive captions make a model follow its user's short prompts better than short captions do?

Pairs of small trainings on pictures, on the bundled model's latents and text: equal weights at the start, equal
pictures, noise and compute; only the captions differ. The model of short captions is given short prompts as they are,
that of descriptive captions the same ones as the prompt expander tells them, as the report has it. A judge counts how
much of what the short prompts name is shown. Fails where descriptive captions are not better.

python benchmarks/captions.py --steps 1500 --seeds 1
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from prediction import small, trained
from torch import Tensor

from sora_core.checkpoint import BUNDLED
from sora_core.config import preset
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore, write_shard
from sora_core.data.worlds import sample_scene
from sora_core.data.worlds.attributes import ATTRIBUTES
from sora_core.data.worlds.captions import compose
from sora_core.data.worlds.catalogue import shown
from sora_core.data.worlds.render import render_images
from sora_core.data.worlds.scene import sample_attributes
from sora_core.evaluation.judge import MOVING, Judge, answers, load_judge
from sora_core.pipeline import Sora
from sora_core.randomness import generator
from sora_core.shapes import VideoShape
from sora_core.text.expander import expand
from sora_core.training.dit import DiTTask
from sora_core.training.export import trained_vae
from sora_core.training.reading import UNKNOWN, reading_labels

SIZES, PICTURES = ((64, 64), (64, 96), (96, 64), (80, 80)), 2000
"""Height and width of the pictures to learn from, and how many there are of each size."""
SHAPE = VideoShape(num_frames=1, height=64, width=64, fps=8.0)
AT_ONCE = 32
"""Prompts sampled together."""
TOLD = ATTRIBUTES.keys() - set(MOVING)
"""What the judge tells of a picture."""
RESAMPLED = 10_000
"""Drawings of the bootstrap."""


class ShortTask(DiTTask):
    """A training with short English captions. What a caption says does not change what is drawn beside it."""

    style = "short"

    def __init__(self, *given: Any, **how: Any):
        super().__init__(*given, **how)
        self.rows.words = self.words  # type: ignore[method-assign]

    def words(self, shard: LatentShard, row: int, mirror: int, draws: torch.Generator) -> tuple[str, tuple[int, ...]]:
        empty = float(torch.rand((), generator=draws)) < 0.1
        own = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=draws)))
        attributes = shown(shard.world, tuple(shard.labels[row].tolist()), mirrored=bool(mirror))
        said = compose(attributes, own, "en", self.style)
        return ("", UNKNOWN) if empty else (said.text, reading_labels(attributes, said.mentioned))


class DescriptiveTask(ShortTask):
    """The same training with captions that tell everything."""

    style = "descriptive"


TASKS = {"short": ShortTask, "descriptive": DescriptiveTask}


def asked(count: int) -> list[tuple[str, str, dict[str, str]]]:
    """Short prompts, the same made long, and what the short ones name that the judge tells of a picture."""
    prompts = []
    for number in range(count):
        draws = generator(number, "short prompts")
        attributes = sample_attributes(draws, held_out=False)
        said = compose(attributes, draws, "en", "short")
        named = {name: getattr(attributes, name) for name in said.mentioned if name in TOLD}
        wanted = {name: value for name, value in named.items() if value != "none"}
        prompts.append((said.text, expand(said.text, draws, "en"), wanted))
    return prompts


@torch.inference_mode()
def followed(task: DiTTask, judge: Judge, texts: list[str], wanted: list[dict[str, str]]) -> Tensor:
    """The share of what each prompt names that the judge sees in its picture."""
    sora = Sora(task.config, task.dit, task.vae, task.text)
    shares: list[float] = []
    for first in range(0, len(texts), AT_ONCE):
        part = texts[first : first + AT_ONCE]
        latent = sora.sample(part, SHAPE, list(range(first, first + len(part))))
        for seen, named in zip(answers(judge, task.vae.decode(latent), SHAPE.fps), wanted[first:], strict=False):
            shares.append(statistics.mean(float(seen[name] == value) for name, value in named.items()))
    return torch.tensor(shares)


def chance(better: Tensor) -> float:
    """How often the mean of these paired differences is not above 0 when prompts are drawn anew (Efron, 1979)."""
    draws = torch.randint(len(better), (RESAMPLED, len(better)), generator=generator(0, "bootstrap"))
    return float((better[draws].mean(1) <= 0).float().mean())


def encode_pictures(folder: Path, seed: int = 5) -> None:
    """Render pictures and leave their latents in a folder."""
    clips = folder / "clips"
    clips.mkdir()
    for number, (height, width) in enumerate(SIZES):
        draws = generator(seed, "pictures", number)
        scenes = [sample_scene(draws, held_out=False) for _ in range(PICTURES)]
        frames = render_images(scenes, [0.5] * PICTURES, height, width)[:, None]
        labels = torch.tensor([scene.attributes.indices() for scene in scenes], dtype=torch.uint8)
        write_shard(clips / f"{number}.safetensors", frames, labels, {"fps": SHAPE.fps, "world": "sandbox"})
    encode_store(trained_vae(preset("mini"), None, BUNDLED), ClipStore(clips), folder, say=lambda _: None)


def arm(folder: Path, style: str, seed: int, steps: int, prompts: int) -> Tensor:
    """Train with captions of one style and see what of each prompt is followed."""
    torch.set_num_threads(1)
    shards = [LatentShard.load(path) for path in sorted(folder.glob("*.safetensors"))]
    task = trained(TASKS[style], small(preset("mini")), shards, seed, steps)
    short, long, wanted = (list(column) for column in zip(*asked(prompts), strict=True))
    return followed(task, load_judge(), long if style == "descriptive" else short, wanted)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--prompts", type=int, default=256)
    arguments = parser.parse_args()
    print(f"{'seed':>4}{'short':>9}{'descriptive':>13}{'by chance':>11}   (share of what is asked for that is shown)")
    seeds = range(arguments.seeds)
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        encode_pictures(Path(name))
        how = arguments.steps, arguments.prompts
        arms = {(style, seed): pool.submit(arm, Path(name), style, seed, *how) for seed in seeds for style in TASKS}
        shares = {key: future.result() for key, future in arms.items()}
    gains = []
    for seed in seeds:
        one, other = shares["short", seed], shares["descriptive", seed]
        gains.append(float((other - one).mean()))
        print(f"{seed:>4}{one.mean():>9.3f}{other.mean():>13.3f}{chance(other - one):>11.4f}")
    print(f"descriptive less short: {statistics.mean(gains):+.3f} (mean of {len(gains)})")
    return int(statistics.mean(gains) <= 0)


if __name__ == "__main__":
    sys.exit(main())
