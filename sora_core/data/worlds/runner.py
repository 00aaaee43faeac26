"""A game of jump and run: a hero runs through a land that scrolls by and jumps over gaps and pillars."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...pixels import to_floats
from .flat import Canvas, Colour

GRASS: Colour = (0.33, 0.72, 0.26)
SOIL: Colour = (0.56, 0.34, 0.19)
_SOIL_DARK: Colour = (0.42, 0.24, 0.13)
_SKIN: Colour = (0.98, 0.83, 0.66)
_DARK: Colour = (0.15, 0.12, 0.12)
_CLOUD: Colour = (0.96, 0.96, 0.90)
HERO_WIDTH, HERO_HEIGHT = 0.26, 0.40
"""Size of the hero."""
JUMP, AIR = 0.62, 0.72
"""Height of a jump and its seconds in the air."""
_GRASS = 0.10
_PILLAR = 0.24
_SEAMS = 0.5
_HALF = {"gap": 0.19, "pillar": 0.11}


@dataclass(frozen=True)
class RunnerState:
    """Of every frame: `height` (t) of the hero's feet above the ground, `obstacle` (t) from the hero's middle to that
    of the nearest obstacle, `scroll` (t) that the land has moved; all in half shorter sides. `gap` (t): whether that
    obstacle is a gap and not a pillar."""

    height: Tensor
    obstacle: Tensor
    gap: Tensor
    scroll: Tensor


def hero_at(wide: float) -> float:
    """Where the hero's middle is, right of the middle of the frame."""
    return -0.35 * wide


def ground_at(tall: float) -> float:
    """The height of the ground above the middle of the frame."""
    return -0.5 * tall


def play(canvas: Canvas, numbers: tuple[float, ...], colour: Colour, times: list[float]) -> RunnerState:
    """Lay the moments at `times` (seconds) on the canvas, and return their state.

    Every jump has its apex over the middle of an obstacle, so that the hero always clears it.
    """
    speed = 0.95 + 0.35 * numbers[0]
    scroll = torch.tensor(times, dtype=torch.float64) * speed
    hero, ground = hero_at(canvas.wide), ground_at(canvas.tall)
    places, kinds = _course(numbers, hero, speed, float(scroll[-1]) + canvas.wide)
    away = places[None] - scroll[:, None] - hero  # t obstacles, right of the hero
    nearest = away.abs().argmin(1, keepdim=True)
    obstacle = away.gather(1, nearest)[:, 0]
    phase = obstacle / (speed * AIR / 2)
    height = (JUMP * (1 - phase.square())).clamp(min=0)
    state = RunnerState(height.float(), obstacle.float(), kinds[nearest[:, 0]], scroll.float())
    _lay_land(canvas, (places[None] - scroll[:, None]).float(), kinds, scroll.float(), ground, numbers)
    _lay_hero(canvas, state, hero, ground, colour)
    return state


def _course(numbers: tuple[float, ...], hero: float, speed: float, end: float) -> tuple[Tensor, Tensor]:
    """Middles of the obstacles (n) at time 0 from left to right, and which are gaps (n); the first is left of view."""
    places, kinds, index = [hero - 2.6 + 1.6 * numbers[1]], [True], 2
    while places[-1] < end + 3:
        number = numbers[index % len(numbers)]
        places.append(places[-1] + speed * AIR + 0.25 + 0.8 * number)
        kinds.append(number * 7919 % 1 < 0.5)
        index += 1
    return torch.tensor(places, dtype=torch.float64), torch.tensor(kinds)


def _lay_land(
    canvas: Canvas, middles: Tensor, gaps: Tensor, scroll: Tensor, ground: float, numbers: tuple[float, ...]
) -> None:
    """Clouds, ground with gaps, and pillars, all by columns because the land is flat."""
    moved = scroll[:, None, None]
    for i in range(3):
        # Clouds are far away and pass slowly, each again after a while.
        lap = 2 * canvas.wide + 1.0
        u = ((numbers[3] + i / 3) * lap - 0.15 * moved) % lap - canvas.wide - 0.5
        v = canvas.tall * (0.35 + 0.18 * (i * 2 % 3))
        canvas.lay(canvas.box(u - 0.22, v, u + 0.18, v + 0.10) | canvas.box(u - 0.12, v - 0.1, u + 0.28, v), _CLOUD)
    across = canvas.u[0, 0]
    distance = (across[None, None] - middles[..., None]).abs()  # t obstacles columns
    hole = ((distance < _HALF["gap"]) & gaps[None, :, None]).any(1)
    pillar = ((distance < _HALF["pillar"]) & ~gaps[None, :, None]).any(1)
    top = torch.where(hole, -9.0, torch.where(pillar, ground + _PILLAR, torch.tensor(ground)))[:, None]
    canvas.lay(canvas.v < top - _GRASS, SOIL)
    seam = ((canvas.u + moved) % _SEAMS < 0.07) & (canvas.v < ground - _GRASS)
    canvas.lay(seam & (canvas.v < top - _GRASS), _SOIL_DARK)
    canvas.lay((canvas.v < top) & (canvas.v >= top - _GRASS), GRASS)


def _lay_hero(canvas: Canvas, state: RunnerState, hero: float, ground: float, colour: Colour) -> None:
    feet = ground + state.height[:, None, None]
    half = HERO_WIDTH / 2
    running = (state.height <= 0)[:, None, None]
    stride = 0.08 * torch.sin(state.scroll * 4 * math.pi)[:, None, None] * running
    for side in (-1, 1):
        u = hero + side * (0.065 + stride)
        canvas.lay(canvas.box(u - 0.05, feet, u + 0.05, feet + 0.1), _DARK)
    canvas.lay(canvas.box(hero - half, feet + 0.08, hero + half, feet + HERO_HEIGHT), colour)
    canvas.lay(canvas.box(hero - 0.02, feet + 0.22, hero + half, feet + 0.34), _SKIN)


def read(frames: Tensor, colour: Colour) -> RunnerState:
    """The state of a game from its pixels (t h w 3), rendered or generated.

    `height` is NaN where no hero is seen; `obstacle` is 0 over an obstacle and large elsewhere; `scroll` begins at 0.
    """
    pixels = to_floats(frames)
    rows, columns = pixels.shape[1:3]
    half = min(rows, columns) / 2
    wide, tall = columns / 2 / half, rows / 2 / half
    v = tall - (torch.arange(rows) + 0.5) / half
    middle = (hero_at(wide) + wide) * half
    reach = HERO_WIDTH / 2 * half
    body = pixels[:, :, max(0, round(middle - reach)) : round(middle + reach)]
    like_hero = (body - torch.tensor(colour)).square().sum(-1)
    others = torch.stack([(body - torch.tensor(c)).square().sum(-1) for c in (GRASS, SOIL, _SOIL_DARK, _DARK)]).amin(0)
    is_hero = ((like_hero < 0.12) & (like_hero < others)).float()  # t rows columns
    count = is_hero.flatten(1).sum(1)
    centre = (is_hero.sum(2) * v).sum(1) / count
    # The face takes from the body, most of it above its middle.
    height = centre - ground_at(tall) - 0.08 - (HERO_HEIGHT - 0.08) * 0.44
    height[count < 0.25 * HERO_WIDTH * HERO_HEIGHT * half * half] = torch.nan
    depth = (v < ground_at(tall) - _GRASS - 0.06) & (v > ground_at(tall) - 0.45)
    under = pixels[:, depth][:, :, round(middle)]
    soil = torch.stack([(under - torch.tensor(c)).square().sum(-1) for c in (SOIL, _SOIL_DARK)]).amin(0).mean(1)
    gap = soil > 0.06
    return RunnerState(height, torch.where(gap, 0.0, 9.0), gap, _read_scroll(pixels[:, depth], half))


def _read_scroll(soil: Tensor, half: float) -> Tensor:
    """How far the land has moved since the first frame (t), from the phase of the seams in the soil (t rows w 3)."""
    far = torch.stack([(soil - torch.tensor(c)).square().sum(-1) for c in (SOIL, _SOIL_DARK)])  # 2 t rows w
    valid = (far.amin(0) < 0.06).float()
    dark = (far[1] < far[0]).float()
    mean = (dark * valid).sum((1, 2), keepdim=True) / valid.sum((1, 2), keepdim=True).clamp(min=1)
    u = (torch.arange(soil.shape[2]) + 0.5) / half
    wave = ((dark - mean) * valid).sum(1).to(torch.complex64) @ torch.exp(2j * math.pi * u / _SEAMS)
    steps = (-wave.angle() / (2 * math.pi) * _SEAMS).diff() % _SEAMS
    return torch.cat([torch.zeros(1), steps.cumsum(0)])


def rules(state: RunnerState, fps: float) -> dict[str, Tensor]:
    """Which rules hold at each step from frame to frame (t-1, bool).

    `there`: the hero is seen; `above ground`: its feet are not below the ground and no higher than a jump;
    `no walking on air`: over a gap it is in the air; `falls`: its height changes no faster than in a jump; `runs on`:
    the land passes to the left at about the speed of such games.
    """
    height = state.height
    seen = ~height.isnan()
    fastest = 4 * JUMP / AIR / fps
    over = state.gap & (state.obstacle.abs() < 0.04)
    return {
        "there": seen[1:],
        "above ground": (height[1:] > -0.10) & (height[1:] < JUMP + 0.12),
        "no walking on air": ~over[1:] | (height[1:] > 0.12),
        "runs on": (state.scroll.diff() * fps - 1.12).abs() < 0.5,
        "falls": seen[:-1] & seen[1:] & (height.diff().abs() < fastest + 0.1),
    }
