"""Editing and connecting, measured on the model: a video changed by degrees, and one turned into another."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from statistics import mean, median

import torch
from torch import Tensor

from ..editing import recipes
from ..editing.connect import Connection
from .continuity import jumps, structure
from .editing_bench import SHAPE, Bench, Row, batches, films, loss_of, restyled
from .prompts import Prompt

SHOWN = 3
"""Examples of each kind on a contact sheet."""
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
FLOW = "flow"
STYLE = ("environment", "time")
"""Attributes that make the world around a subject."""
STILL = ("subject", "colour", "environment", "time")
"""Attributes that a single frame shows."""
WAYS = {"blend": ("blend", 1.0), "bridge": ("bridge", 1.0), "cross-fade": ("blend", 0.0)}
"""How videos are connected: mode and peak; the last, without a model, is there to compare."""
LONG = replace(SHAPE, num_frames=25)
"""The shape of videos that are connected, long enough to overlap for two seconds."""


def edit(bench: Bench) -> Row:
    """With strength the old shapes go and the new world comes; 0 is the video itself, 1 text to video."""
    row = Row(legend="rendered clip, then strengths 0, 0.2, 0.4, 0.6, 0.8, 1, then without noise (FlowEdit)")
    kept: dict[str, list[float]] = {}
    reached: dict[str, list[float]] = {}
    for part in batches(bench.sources()):
        sources, goals = films(part), [restyled(p) for p in part]
        latent, sampling = recipes.encode(bench.sora, sources), bench.sampling(len(part))
        old, new = (bench.denoiser([p.text for p in each]) for each in (part, goals))
        seed, copy = part[0].seed, bench.rebuilt(sources)
        made = {
            f"{s:g}": recipes.edit_video(bench.sora, latent, new, SHAPE.fps, seed, strength=s, sampling=sampling)
            for s in STRENGTHS
        }
        made[FLOW] = recipes.flow_edit(bench.sora, latent, old, new, SHAPE.fps, seed, sampling=sampling)
        videos = {name: bench.decode(latent, SHAPE.num_frames) for name, latent in made.items()}
        for name, video in videos.items():
            kept.setdefault(name, []).extend(structure(a, b) for a, b in zip(video, copy, strict=True))
            style = [bench.believed(video, n, [getattr(p.attributes, n) for p in goals]) for n in STYLE]
            reached.setdefault(name, []).extend(torch.stack(style).mean(0).tolist())
        row.sheet += [x for i in range(len(part)) for x in (sources[i], *(v[i] for v in videos.values()))]
    row.sheet = row.sheet[: 2 * (len(STRENGTHS) + 2)]
    shapes, styles = ({name: mean(v) for name, v in each.items()} for each in (kept, reached))
    falls, rises = ([each[f"{s:g}"] for s in STRENGTHS] for each in (shapes, styles))
    untouched, anew = extremes(bench)
    row.promises = [
        ("structure: largest rise from one strength to the next", max(b - a for a, b in pairwise(falls)), "<=", 0.0),
        ("target style: largest fall from one strength to the next",
         max(a - b for a, b in pairwise(rises)), "<=", 0.0),
        ("target style: rise from strength 0 to 1", rises[-1] - rises[0], ">=", 0.5),
        ("strength 0, largest difference from the video's own latent", untouched, "<=", 0.0),
        ("strength 1, largest difference from text to video", anew, "<=", 0.0),
    ]  # fmt: skip
    row.figures = {"structure": shapes, "target style": styles}
    return row


def extremes(bench: Bench) -> tuple[float, float]:
    """How far strength 0 is from the video and strength 1 from text to video, in full precision."""
    prompts = bench.sources()[:2]
    latent, model = recipes.encode(bench.sora, films(prompts)), bench.denoiser([p.text for p in prompts], exact=True)
    sampling = bench.sampling(len(prompts), exact=True)
    ends = [
        recipes.edit_video(bench.sora, latent, model, SHAPE.fps, prompts[0].seed, strength=s, sampling=sampling)
        for s in (0.0, 1.0)
    ]
    settings, seeds = bench.settings, [prompts[0].seed + i for i in range(len(prompts))]
    free = bench.sora.sample(
        [p.text for p in prompts], SHAPE, seeds, steps=settings.steps, guidance=settings.guidance,
        sampler=settings.sampler,
    )  # fmt: skip
    return float((ends[0] - latent).abs().max()), float((ends[1] - free).abs().max())


def connect(bench: Bench) -> Row:
    """Both ends stay, no frame jumps, and what is seen moves from the first video's to the second's."""
    row = Row(legend="blends, bridges, then plain cross-fades of the same pairs")
    prompts = bench.sources(moving=True)
    pairs = list(zip(prompts, prompts[1:] + prompts[:1], strict=True))
    for name, (mode, peak) in WAYS.items():
        losses, leaps, moves = [], [], []
        for part in batches(pairs):
            first, second = ([pair[k] for pair in part] for k in (0, 1))
            a, b = films(first, LONG), films(second, LONG)
            video, plan = connected(bench, first, second, a, b, mode, peak)
            ends = (
                a[:, :, -plan.replaces[0] :][:, :, : plan.first.stop],
                b[:, :, : plan.replaces[1]][:, :, -len(plan.second) :],
            )
            for end, frames in zip(ends, (plan.first, plan.second), strict=True):
                losses += loss_of(video[:, :, frames.start : frames.stop], bench.rebuilt(end), end)
            for x, y, z in zip(video, bench.rebuilt(a), bench.rebuilt(b), strict=True):
                own = max(float(jumps(y).max()), float(jumps(z).max()))
                leaps.append(float(jumps(x)[plan.first.stop - 1 : plan.second.start].max()) / own)
            moves.append(share_of_second(bench, video, plan, first, second))
            if len(losses) <= 2 * len(part):
                row.sheet += list(video)[:SHOWN]
        shares = torch.cat(moves).nanmean(0).tolist()
        row.figures[name] = {
            "second video's share of what is seen": shares, "worst jump": max(leaps), "median jump": median(leaps)
        }  # fmt: skip
        if peak:
            row.promises += [
                (f"{name}: ends, dB above compression alone", mean(losses), ">=", -0.5),
                (f"{name}: largest jump, over the largest of both videos", mean(leaps), "<=", 1.5),
                (f"{name}: second's share of what is seen, rise from end to end", shares[-1] - shares[0], ">=", 0.8),
                (f"{name}: its largest fall on the way", max(0.0, *(x - y for x, y in pairwise(shares))), "<=", 0.05),
            ]
    return row


def connected(
    bench: Bench, first: list[Prompt], second: list[Prompt], a: Tensor, b: Tensor, mode: str, peak: float
) -> tuple[Tensor, Connection]:
    """Videos `b 3 t h w` that lead from the ends of `a` to the beginnings of `b` within two seconds."""
    models = tuple(bench.denoiser([p.text for p in prompts]) for prompts in (first, second))
    latent, plan = recipes.connect(
        bench.sora, a, b, (models[0], models[1]), SHAPE.fps, first[0].seed, mode=mode, peak=peak, seconds=2.0,
        sampling=bench.sampling(len(a)),
    )  # fmt: skip
    return bench.decode(latent, plan.num_frames, plan.known.given), plan


def share_of_second(bench: Bench, video: Tensor, plan: Connection, first: list[Prompt], second: list[Prompt]) -> Tensor:
    """How much of the two videos' attributes, where they differ, is the second's: `b 5`, from the first to the last."""
    times = torch.linspace(plan.first.stop - 1, plan.second.start, 5).round().int().tolist()
    shares = []
    for at in times:
        beliefs = []
        for name in STILL:
            values = [[getattr(p.attributes, name) for p in prompts] for prompts in (first, second)]
            here = [bench.believed(video[:, :, at : at + 1], name, v) for v in values]
            differ = torch.tensor([x != y for x, y in zip(*values, strict=True)])
            beliefs.append(torch.where(differ, here[1] / (here[0] + here[1]).clamp(min=1e-6), torch.nan))
        shares.append(torch.stack(beliefs).nanmean(0))
    return torch.stack(shares, 1)
