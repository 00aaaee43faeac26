"""Do generated worlds keep their rules? Paint and bites stay, and games are played right, read from pixels alone.

Every figure stands beside the same figure on rendered clips (the ceiling) and on clips that keep no rules: rendered
frames in random order, one frame that stands still, and noise. A clip in which nothing happens breaks no rule, so the
score of a clip counts only if something does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.worlds import bricks, painter, runner
from ..data.worlds.arcade import BACKDROPS, ArcadeAttributes
from ..data.worlds.catalogue import WORLDS
from ..data.worlds.painter import PainterAttributes
from ..data.worlds.scene import PALETTE
from ..pipeline import Sora
from ..randomness import generator
from ..shapes import VideoShape
from .fidelity import SamplerSettings, generated
from .prompts import Prompt

FLAT = ("painter", "arcade")
"""The worlds that have rules."""
KINDS = ("generated", "rendered", "shuffled", "still", "noise")
"""What is judged: generated clips, their ceiling, and three kinds of clips that deserve nothing."""
SHAPE = VideoShape(num_frames=17, height=64, width=64, fps=8.0)
"""The shape of clips whose rules are judged."""
_GROWTH, _JUMP, _SPEED = 0.01, 0.25, 0.5


@dataclass(frozen=True)
class Play:
    """Which rules hold at each step from frame to frame (bool, t-1), and whether anything happens in the clip."""

    rules: dict[str, Tensor]
    happens: bool

    @property
    def score(self) -> float:
        """The share of steps at which all rules hold, or 0 when nothing happens."""
        return float(torch.stack(list(self.rules.values())).all(0).float().mean()) if self.happens else 0.0


def judged(frames: Tensor, sheet: PainterAttributes | ArcadeAttributes, fps: float) -> Play:
    """The rules of the world that `sheet` belongs to, on a clip `t h w 3` (uint8 or floats in [0, 1])."""
    if isinstance(sheet, PainterAttributes):
        return Play({"marks stay": painter.persistence(frames, sheet)}, painter.grown(frames, sheet) >= _GROWTH)
    if sheet.game == "bricks":
        played = bricks.read(frames, BACKDROPS[sheet.backdrop])
        speed = played.ball.diff(dim=0).norm(dim=1) * fps
        happens = bool(speed.nanmedian() > _SPEED)
        return Play(bricks.rules(played, fps), happens)
    run = runner.read(frames, PALETTE[sheet.colour])
    height = run.height[~run.height.isnan()]
    happens = len(height) > 1 and bool(height.amax() - height.amin() > _JUMP)
    return Play(runner.rules(run, fps), happens)


def asked(world: str, count: int) -> list[tuple[Prompt, Any, Tensor]]:
    """Descriptive prompts of clips that training never drew, with each clip's sheet and its frames `t h w 3`."""
    shape, rows = SHAPE, []
    for i in range(count):
        draws = generator(i, "evaluation clip", world)
        frames, labels = WORLDS[world].film(draws, shape.num_frames, shape.height, shape.width, shape.fps, None)
        sheet = WORLDS[world].sheet.from_indices(labels)
        text = WORLDS[world].compose(sheet, draws, ("en", "zh")[i % 2], "descriptive").text
        rows.append((Prompt(text, {}, 3_000_000 + i), sheet, frames))
    return rows


def controls(frames: Tensor, draws: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """The rendered clip, its frames in random order, its middle frame standing still, and noise."""
    yield "rendered", frames
    yield "shuffled", frames[torch.randperm(len(frames), generator=draws)]
    yield "still", frames[len(frames) // 2].expand_as(frames)
    yield "noise", torch.randint(256, frames.shape, generator=draws, dtype=torch.uint8)


def world_report(model: Sora, world: str, count: int, settings: SamplerSettings) -> dict[str, Any]:
    """Figures by kind of clip: the share of steps each rule holds, of clips in which something happens, the score."""
    rows = asked(world, count)
    plays: dict[str, list[Play]] = {kind: [] for kind in KINDS}
    videos = (v for _, part in generated(model, [prompt for prompt, _, _ in rows], SHAPE, settings) for v in part)
    for i, ((_, sheet, frames), video) in enumerate(zip(rows, videos, strict=True)):
        plays["generated"].append(judged(video.clamp(0, 1).permute(1, 2, 3, 0), sheet, SHAPE.fps))
        for kind, clip in controls(frames, generator(i, "evaluation controls")):
            plays[kind].append(judged(clip, sheet, SHAPE.fps))
    names = list(dict.fromkeys(name for play in plays["rendered"] for name in play.rules))
    figures: dict[str, Any] = {"clips": count}
    for name in names:
        figures[name] = {
            k: _mean([float(p.rules[name].float().mean()) for p in plays[k] if name in p.rules]) for k in KINDS
        }
    figures["something happens"] = {k: _mean([float(p.happens) for p in plays[k]]) for k in KINDS}
    figures["score"] = {k: _mean([p.score for p in plays[k]]) for k in KINDS}
    return figures


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4)
