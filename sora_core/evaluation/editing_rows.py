"""Animating, extending and looping, measured on the model: an image set in motion, a video made longer, and loops."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from statistics import mean, median

import torch
from torch import Tensor

from ..diffusion.noise import draw_noise
from ..editing import recipes
from ..editing.extend import Edit
from .continuity import around, at_borders, distance, jumps
from .editing_bench import SHAPE, Bench, Row, batches, films, loss_of
from .fidelity import ceiling
from .judge import answers
from .prompts import Prompt
from .score import Tally

SHOWN = 4
"""Examples on each contact sheet."""
GIVEN = {"forward": slice(0, 9), "backward": slice(-9, None), "both": slice(4, 13)}
"""Which frames of a rendered clip are extended into each direction."""
GREY_LEVEL = 1 / 255
"""The least that two endings are taken to differ by: nothing finer survives in a file."""
DRAWS = {"forward": 1, "backward": 4, "both": 1}
"""How often each is extended, with other noise."""


def animate(bench: Bench) -> Row:
    """The image stays, something moves, and the prompt's motion is followed as without the image."""
    prompts = bench.sources(moving=True)
    row, losses, moved = Row(legend="pairs of rows: rendered clip, its first frame animated"), [], []
    animated, free = Tally(), Tally()
    for part in batches(prompts):
        sources, texts = films(part), [p.text for p in part]
        image, sampling = sources[:, :, :1], bench.sampling(len(part))
        moving = recipes.animate(bench.sora, image, bench.denoiser(texts), SHAPE, part[0].seed, sampling=sampling)
        given = [cell == 0 for cell in range(moving.shape[2])]
        videos = [
            bench.decode(moving, SHAPE.num_frames, given), bench.decode(generated(bench, part), SHAPE.num_frames)
        ]  # fmt: skip
        losses += loss_of(videos[0][:, :, :1], bench.rebuilt(image), image)
        still = bench.rebuilt(image.expand(-1, -1, SHAPE.num_frames, -1, -1))
        moved += [float(jumps(a).mean() / jumps(b).mean()) for a, b in zip(videos[0], still, strict=True)]
        for tally, video in zip((animated, free), videos, strict=True):
            for prompt, seen in zip(part, answers(bench.judge, video, SHAPE.fps), strict=True):
                tally.add(prompt.wanted, seen)
        row.sheet += [x for pair in zip(sources, videos[0], strict=True) for x in pair]
    scores = {
        "animated": animated.accuracy(), "text to video": free.accuracy(),
        "rendered": ceiling(bench.judge, prompts, SHAPE).accuracy(),
    }  # fmt: skip
    followed, asked = (tally["motion"] for tally in (scores["animated"], scores["text to video"]))
    questions = animated.asked["motion"]
    row.promises = [
        ("first frame, dB above compression alone", mean(losses), ">=", -0.5),
        ("share of clips that move more than a still", mean([float(m > 1) for m in moved]), ">=", 1.0),
        # Where text to video is never right, one right answer is what the animated clips have to match.
        ("motion recognised, share of text to video", followed / max(asked, 1 / questions), ">=", 0.85),
    ]
    row.figures = {"worst first frame, dB": min(losses), "judge": scores, "questions": questions}
    row.sheet = row.sheet[: 2 * SHOWN]
    return row


def generated(bench: Bench, prompts: list[Prompt]) -> Tensor:
    """Text to video for the same prompts and seeds, through the same sampling."""
    empty = torch.zeros(len(prompts), *bench.sora.latent_shape(SHAPE).dims)
    return recipes.edit_video(
        bench.sora, empty, bench.denoiser([p.text for p in prompts]), SHAPE.fps, prompts[0].seed, strength=1.0,
        sampling=bench.sampling(len(prompts)),
    )  # fmt: skip


def extend(bench: Bench) -> Row:
    """The shared part stays, no jerk at its border, and four beginnings of one ending differ."""
    row = Row(legend="rendered clip, forward, both, then four beginnings of its second half")
    losses, cells, all_frames = ({way: list[float]() for way in GIVEN} for _ in range(3))
    control, apart, floors, compression = [], [], [], []
    for part in batches(bench.sources(moving=True)):
        sources = films(part)
        made = {way: [extended(bench, part, sources, way, draw) for draw in range(DRAWS[way])] for way in GIVEN}
        for way, clips in made.items():
            given = sources[:, :, GIVEN[way]]
            for video, edit in clips:
                kept, shared = slice(edit.kept.start, edit.kept.stop), slice(edit.source, edit.source + len(edit.kept))
                losses[way] += loss_of(video[:, :, kept], bench.rebuilt(given)[:, :, shared], given[:, :, shared])
                borders = [b for b in (kept.start, kept.stop) if 0 < b < edit.num_frames]
                inner = [b for b in cells_of(bench, video.shape[2]) if b not in borders]
                if inner:  # long latent frames begin nowhere else
                    cells[way] += [at_borders(x, borders, inner) for x in video]
                all_frames[way] += [at_borders(x, borders, away(x, borders)) for x in video]
        control += [at_borders(x, [9], away(x, [9])) for x in bench.rebuilt(sources)]
        endings = sources[:, :, GIVEN["backward"]]
        compression += [distance(a, b) for a, b in zip(bench.rebuilt(endings), endings, strict=True)]
        for four in zip(*(video for video, _ in made["backward"]), strict=True):
            far, near = spread(list(four), made["backward"][0][1].kept.start)
            apart.append(far)
            floors.append(near)
        rows = zip(sources, made["forward"][0][0], made["both"][0][0], *(v for v, _ in made["backward"]), strict=True)
        row.sheet += [clip for clips in rows for clip in clips]
    row.sheet = row.sheet[: 7 * (SHOWN // 2)]
    times = [a / max(f, GREY_LEVEL) for a, f in zip(apart, floors, strict=True)]
    visible = [a / c for a, c in zip(apart, compression, strict=True)]
    row.promises = [
        *((f"shared part {way}, dB above compression alone", mean(v), ">=", -0.5) for way, v in losses.items()),
        ("least distance of four beginnings over that of their equal endings", median(times), ">=", 3.0),
        ("least distance of four beginnings over the error of compression", median(visible), ">=", 3.0),
        *((f"acceleration at the border {way}, over all others", mean(v), "<=", 1.2) for way, v in all_frames.items()),
        *((f"acceleration at the border {way}, over other latent frames", mean(v) if v else None, "<=", 1.2)
          for way, v in cells.items()),
    ]  # fmt: skip
    row.figures = {
        "least distance of four beginnings": mean(apart), "distance of their equal endings": mean(floors),
        "distance of an ending to its compressed self": mean(compression),
        "share of endings with four beginnings 3 times as far apart": mean([float(t > 3) for t in times]),
        "acceleration at the same place of compressed clips, over all others": mean(control),
    }  # fmt: skip
    return row


def spread(videos: list[Tensor], start: int) -> tuple[float, float]:
    """The least distance of any two videos before frame `start`, and their mean distance from there on."""
    pairs = list(combinations(videos, 2))
    return (
        min(distance(a[:, :start], b[:, :start]) for a, b in pairs),
        mean([distance(a[:, start:], b[:, start:]) for a, b in pairs]),
    )


def extended(bench: Bench, prompts: list[Prompt], sources: Tensor, way: str, draw: int) -> tuple[Tensor, Edit]:
    """The given part of clips `b 3 t h w` with a second more before it, after it or both."""
    model, sampling = bench.denoiser([p.text for p in prompts]), bench.sampling(len(prompts))
    latent, edit = recipes.extend_video(
        bench.sora, sources[:, :, GIVEN[way]], model, SHAPE.fps, prompts[0].seed + 5000 * draw,
        before=float(way != "forward"), after=float(way != "backward"), sampling=sampling,
    )  # fmt: skip
    return bench.decode(latent, edit.num_frames, edit.known.given), edit


def away(video: Tensor, borders: list[int]) -> list[int]:
    """Every frame whose accelerations do not reach across one of the borders."""
    return [i for i in range(2, video.shape[1] - 1) if all(abs(i - border) > 1 for border in borders)]


def cells_of(bench: Bench, num_frames: int) -> list[int]:
    """The frames at which latent frames begin, but for those too near the ends to have accelerations."""
    geometry = recipes.geometry_of(bench.sora)
    starts = [geometry.span(cell)[0] for cell in range(geometry.latent_frames(num_frames))]
    return [start for start in starts if 2 <= start <= num_frames - 2]


def loop(bench: Bench) -> Row:
    """Nothing happens where a loop closes, and rolling its noise rolls it."""
    row = Row(legend="loops, shown from their middle: they close half-way")
    steps: list[tuple[Tensor, Tensor]] = []
    control: list[tuple[Tensor, Tensor]] = []
    for part in batches(bench.sources(moving=True)):
        for video in looped(bench, part, loop_noise(bench, part)):
            steps.append(around(video))
            row.sheet.append(video.roll(video.shape[1] // 2, 1))
        # Without the first frame, which has a latent frame of its own, a clip is whole latent frames like a loop.
        control += [around(video[:, 1:]) for video in bench.rebuilt(films(part))]
    first = bench.sources(moving=True)[:2]
    noise, time = loop_noise(bench, first), bench.sora.config.vae.compression.time
    plain, turned = (looped(bench, first, n, exact=True) for n in (noise, noise.roll(1, 2)))
    row.sheet = row.sheet[: 2 * SHOWN]
    row.clips = row.sheet[:1]
    frames = len(steps[0][0])
    every, begins = list(range(frames - 1)), list(range(time - 1, frames - 1, time))
    for name, kind in (("jump", 0), ("change of velocity", 1)):
        closes = mean([float(each[kind][-1]) for each in steps])
        for where, at in (("the median step", every), ("other latent frames", begins)):
            others = mean([float(each[kind][at].median()) for each in steps])
            row.promises.append((f"{name} where the loop closes, over {where}", closes / others, "<=", 1.1))
        inside, seams = (mean([float(each[kind][at].median()) for each in control]) for at in (every, begins))
        row.figures[f"{name} where a latent frame begins in compressed clips, over the median step"] = seams / inside
    off = float((plain.roll(time, 2) - turned).abs().max())
    row.promises.append(("rolled noise, largest difference from the rolled loop", off, "<=", 1e-4))
    return row


def loop_noise(bench: Bench, prompts: list[Prompt]) -> Tensor:
    """Noise for loops of four latent frames."""
    cells = SHAPE.num_frames // bench.sora.config.vae.compression.time
    return draw_noise(replace(bench.sora.latent_shape(SHAPE), frames=cells), [p.seed for p in prompts])


def looped(bench: Bench, prompts: list[Prompt], noise: Tensor, *, exact: bool = False) -> Tensor:
    """Loops from their noise `b c t h w`, as frames `b 3 4t h w`."""
    shape = replace(SHAPE, num_frames=noise.shape[2] * bench.sora.config.vae.compression.time)
    model = bench.denoiser([p.text for p in prompts], circular=True, exact=exact)
    sampling = bench.sampling(len(prompts), circular=True, exact=exact)
    latent = recipes.loop(bench.sora, model, shape, 0, noise=noise, sampling=sampling)
    return bench.sora.frames(latent, circular=True)
