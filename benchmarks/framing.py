"""Does training at the pictures' own aspect frame subjects better than training on square crops?

Pairs of small trainings on the bundled model's latents and text: equal weights at the start, equal pictures, captions,
noise and compute. The pictures are wide, tall and square, with the subject in full view anywhere in them. One model
learns from them whole, the other from the square in their middle. Both draw the same prompts at the three sizes, and a
reader that was taught on rendered pictures tells which share of its subject each drawn picture shows. Fails where whole
pictures are not better.

python benchmarks/framing.py --steps 1500 --seeds 1
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from captions import DescriptiveTask, chance
from prediction import small, trained
from torch import Tensor, nn

from sora_core.checkpoint import BUNDLED
from sora_core.config import preset
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore, write_shard
from sora_core.data.worlds import render, sample_scene
from sora_core.data.worlds.attributes import Attributes
from sora_core.data.worlds.captions import compose
from sora_core.data.worlds.scene import Mix, sample_attributes
from sora_core.evaluation.judge import load_judge
from sora_core.pipeline import Sora
from sora_core.randomness import generator
from sora_core.shapes import VideoShape
from sora_core.training.export import trained_vae
from sora_core.training.judge import worsened

SIDE = 64
"""Height and width of the square crops, and the shorter side of the others."""
SIZES = ((SIDE, 96), (96, SIDE), (SIDE, SIDE))
"""Height and width of the pictures to learn from and to draw."""
ALL_AROUND = 160
"""The longer side of what is rendered, in whose middle the subject is; each picture is a window of it."""
MARGIN = 2
"""Pixels that are kept between a subject in full view and the picture's edge."""
ALONE = Mix(pairs=0, walls=0)
"""Scenes whose only toy is the subject, hidden by nothing."""
ARMS = ("square crops", "whole pictures")
AT_ONCE = 32
"""Pictures that are sampled, or shown to the reader, together."""


def rendered(size: tuple[int, int], name: str, number: int) -> tuple[Attributes, Tensor, Tensor]:
    """What a scene shows, its picture `h w 3` (uint8) and the subject's mask `h w`, far longer than `size`.

    Squares are cut from wide and tall renderings in turn.
    """
    draws = generator(number, name)
    scene = sample_scene(draws, sample_attributes(draws, held_out=False, mix=ALONE))
    wide = size[1] > size[0] or (size[1] == size[0] and number % 2 == 0)
    clip = render(scene, 1, *((SIDE, ALL_AROUND) if wide else (ALL_AROUND, SIDE)), fps=8.0, start=0.5)
    assert clip.truth is not None
    return scene.attributes, clip.frames[0], clip.truth.mask[0] == 1


def window(
    frame: Tensor, mask: Tensor, size: tuple[int, int], draws: torch.Generator, *, whole: bool
) -> tuple[Tensor, float]:  # fmt: skip
    """A part of a rendering at random, and the share of the subject that it shows; `whole` ones show all of it."""
    axis = int(frame.shape[1] > frame.shape[0])
    length, room = size[axis], frame.shape[axis] - size[axis]
    along = mask.any(1 - axis).nonzero().flatten()
    first, last = int(along[0]), int(along[-1])
    low, high = (max(0, last + 1 + MARGIN - length), min(room, first - MARGIN)) if whole else (0, room)
    at = low + int(torch.randint(max(1, high - low + 1), (), generator=draws))
    return frame.narrow(axis, at, length), float(mask.narrow(axis, at, length).sum() / mask.sum())


def pictures(size: tuple[int, int], name: str, numbers: range, whole: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of renderings `n h w 3`, labels `n k` of what they show, and which share of their subject, `n`."""
    torch.set_num_threads(1)
    frames, labels, shares = [], [], []
    for number in numbers:
        attributes, frame, mask = rendered(size, name, number)
        part, share = window(frame, mask, size, generator(number, name, "window"), whole=whole)
        frames.append(part)
        labels.append(attributes.indices())
        shares.append(share)
    return torch.stack(frames), torch.tensor(labels, dtype=torch.uint8), torch.tensor(shares)


def in_the_middle(frames: Tensor) -> Tensor:
    """The square crops of pictures `n h w 3`."""
    top, left = ((side - SIDE) // 2 for side in frames.shape[1:3])
    return frames[:, top : top + SIDE, left : left + SIDE]


def encode_pictures(folder: Path, count: int, pool: Executor) -> None:
    """Render pictures, `count` of each size, and leave the latents of each arm's in a folder of its name."""
    made = [pool.submit(pictures, size, "to learn from", range(i * count, (i + 1) * count), True)
            for i, size in enumerate(SIZES)]  # fmt: skip
    vae = trained_vae(preset("mini"), None, BUNDLED)
    for name in ARMS:
        clips = folder / f"clips of {name}"
        clips.mkdir()
        for i, future in enumerate(made):
            frames, labels, _ = future.result()
            shown = in_the_middle(frames) if name == ARMS[0] else frames
            write_shard(clips / f"{i}.safetensors", shown[:, None], labels, {"fps": 8.0, "world": "sandbox"})
        encode_store(vae, ClipStore(clips), folder / name, say=lambda _: None)


class FramingReader(nn.Module):
    """Tells which share of its subject a picture shows, from what the judge sees in it."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = load_judge()
        width = sum(head.in_features for head in self.judge.heads)  # type: ignore[misc]
        self.head = nn.Linear(width, 1)

    def forward(self, video: Tensor) -> Tensor:
        """`b 3 1 h w` in [0, 1] -> `b`."""
        return self.head(self.judge.features(video).flatten(1)).squeeze(1).sigmoid()


def as_video(frames: Tensor) -> Tensor:
    """Frames `n h w 3` (uint8) as pictures `n 3 1 h w` in [0, 1]."""
    return frames.permute(0, 3, 1, 2).unsqueeze(2).float().div(255)


def taught_reader(count: int, steps: int, pool: Executor) -> FramingReader:
    """A reader taught on windows anywhere, `count` of each size; prints how far it is off on others."""
    made = [pool.submit(pictures, size, "to read", range(i * count, (i + 1) * count), False)
            for i, size in enumerate(SIZES)]  # fmt: skip
    sets = [(as_video(frames), shares) for frames, _, shares in (future.result() for future in made)]
    kept = count // 8
    torch.manual_seed(0)
    reader = FramingReader()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=5e-4)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-4 * min(1.0, (step + 1) / 20) * (1 - step / steps)
        draws = generator(step, "reader")
        video, shares = sets[step % len(sets)]
        rows = torch.randint(kept, count, (64,), generator=draws)
        F.binary_cross_entropy(reader(worsened(video[rows], draws)), shares[rows]).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    reader.eval()
    answers = torch.cat(read(reader, [video[:kept] for video, _ in sets]))
    shares = torch.cat([shares[:kept] for _, shares in sets])
    off, seen = (answers - shares).abs().mean(), shares.mean()
    print(f"reader: off by {off:.3f} on {len(shares)} windows that show {seen:.3f} of their subjects", flush=True)
    return reader


def prompt(number: int) -> str:
    """What both models are asked to draw, the same at every size."""
    draws = generator(number, "framing prompts")
    return compose(sample_attributes(draws, held_out=False, mix=ALONE), draws, "en", "descriptive").text


@torch.inference_mode()
def drawn(task: DescriptiveTask, prompts: int) -> list[Tensor]:
    """Pictures of the same prompts and seeds from any task, `n 3 1 h w` for each of `SIZES`."""
    sora = Sora(task.config, task.dit, task.vae, task.text)
    videos = []
    for height, width in SIZES:
        shape = VideoShape(num_frames=1, height=height, width=width, fps=8.0)
        parts = []
        for first in range(0, prompts, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, prompts))
            texts = [prompt(number) for number in numbers]
            parts.append(task.vae.decode(sora.sample(texts, shape, list(numbers))))
        videos.append(torch.cat(parts))
    return videos


def arm(name: str, folder: Path, seed: int, steps: int, prompts: int) -> list[Tensor]:
    """Train on one arm's pictures and draw."""
    torch.set_num_threads(1)
    shards = [LatentShard.load(path) for path in sorted((folder / name).glob("*.safetensors"))]
    return drawn(trained(DescriptiveTask, small(preset("mini")), shards, seed, steps), prompts)


@torch.inference_mode()
def read(reader: FramingReader, videos: list[Tensor]) -> list[Tensor]:
    """The share of its subject that each picture shows."""
    return [torch.cat([reader(part) for part in video.split(AT_ONCE)]) for video in videos]


def each_prompt(shares: list[Tensor]) -> Tensor:
    """The mean over the sizes of what each prompt's pictures show, `n`: chance draws prompts, not pictures."""
    return torch.stack(shares).mean(0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=2000, help="of each size")
    parser.add_argument("--prompts", type=int, default=128, help="drawn at each size")
    parser.add_argument("--sheets", type=Path, metavar="DIR", help="keep what was drawn as PNG, the arms side by side")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    with tempfile.TemporaryDirectory() as temporary, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        folder = Path(temporary)
        encode_pictures(folder, arguments.pictures, pool)
        reader = taught_reader(arguments.pictures // 2, 600, pool)
        how = arguments.steps, arguments.prompts
        arms = {(name, seed): pool.submit(arm, name, folder, seed, *how) for seed in seeds for name in ARMS}
        made = {key: future.result() for key, future in arms.items()}
    shares = {key: read(reader, videos) for key, videos in made.items()}
    if arguments.sheets:
        from sora_core.training.pictures import contact_sheet

        arguments.sheets.mkdir(parents=True, exist_ok=True)
        for (name, seed), videos in made.items():
            for (height, width), video in zip(SIZES, videos, strict=True):
                path = arguments.sheets / f"{name.replace(' ', '_')}_{seed}_{height}x{width}.png"
                rows = video[:48].squeeze(2).split(8)
                contact_sheet([row.transpose(0, 1) for row in rows], path, columns=8)
    print(f"{'seed':>4}{'size':>8}{ARMS[0]:>14}{ARMS[1]:>16}{'by chance':>11}   (share of the subject that is shown)")
    gains = []
    for seed in seeds:
        square, whole = shares[ARMS[0], seed], shares[ARMS[1], seed]
        rows = [(f"{w}x{h}", one, other) for (h, w), one, other in zip(SIZES, square, whole, strict=True)]
        for size, one, other in [*rows, ("all", each_prompt(square), each_prompt(whole))]:
            print(f"{seed:>4}{size:>8}{one.mean():>14.3f}{other.mean():>16.3f}{chance(other - one):>11.4f}")
        gains.append(float((each_prompt(whole) - each_prompt(square)).mean()))
    print(f"whole pictures less square crops: {statistics.mean(gains):+.3f} (mean of {len(gains)})")
    return int(statistics.mean(gains) <= 0)


if __name__ == "__main__":
    sys.exit(main())
