"""A game of bricks: a paddle keeps a ball in play, and bricks that the ball hits are gone for good."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...pixels import to_floats
from .flat import WHITE, Canvas, Colour

ROWS: tuple[Colour, ...] = ((0.90, 0.22, 0.24), (0.96, 0.60, 0.14), (0.95, 0.84, 0.22), (0.28, 0.78, 0.36))
"""Colours of the rows of bricks from the top."""
TICKS = 120
"""Steps of the game in a second."""
BALL, PADDLE, PADDLE_HEIGHT = 0.085, 0.30, 0.09
"""Half the side of the ball, half the width of the paddle, and its height."""
_BRICK = 0.25
_TOP, _ROW = 0.12, 0.15
_PADDLE_AT = 0.16
_REACH = 1.7


@dataclass(frozen=True)
class BricksState:
    """Of every frame: ball (t 2) and paddle (t 2) as middles, right and up in half shorter sides; bricks (t rows n)
    that are left; `field` (half width, half height)."""

    ball: Tensor
    paddle: Tensor
    bricks: Tensor
    field: tuple[float, float]


class Game:
    """The game itself: `step` moves it on by one tick."""

    def __init__(self, wide: float, tall: float, numbers: tuple[float, ...]):
        self.wide, self.tall = wide, tall
        self.columns = max(4, round(2 * wide / _BRICK))
        self.bricks = [[True] * self.columns for _ in ROWS]
        n = iter(numbers)
        self.x = (2 * next(n) - 1) * (wide - 0.2)
        self.y = -tall + 0.35 + 0.3 * next(n)
        speed = 1.5 + 0.5 * next(n)
        slope = (0.45 + 0.5 * next(n)) * (1 if next(n) < 0.5 else -1)
        self.vx = speed * slope / (1 + slope * slope) ** 0.5
        self.vy = speed / (1 + slope * slope) ** 0.5
        self.paddle = self.x
        self.miss = next(n) - 0.5
        for number in n:
            index = int(number * len(ROWS) * self.columns * 2)
            if index < len(ROWS) * self.columns:
                self.bricks[index // self.columns][index % self.columns] = False

    def step(self) -> None:
        """One tick: the ball flies and bounces, the paddle goes where the ball will need it."""
        self.x += self.vx / TICKS
        self.y += self.vy / TICKS
        if abs(self.x) > self.wide - BALL:
            self.vx = -abs(self.vx) if self.x > 0 else abs(self.vx)
        if self.y > self.tall - BALL:
            self.vy = -abs(self.vy)
        self._hit_brick()
        floor = -self.tall + _PADDLE_AT + PADDLE_HEIGHT / 2 + BALL
        if self.vy < 0 and self.y < floor:
            self.vy = abs(self.vy)
        goal = self.x + self.miss * PADDLE if self.vy < 0 else 0.6 * self.x
        limit = self.wide - PADDLE
        step = min(max(goal - self.paddle, -_REACH / TICKS), _REACH / TICKS)
        self.paddle = min(max(self.paddle + step, -limit), limit)

    def _hit_brick(self) -> None:
        edge = BALL if self.vy > 0 else -BALL
        row = int((self.tall - _TOP - (self.y + edge)) // _ROW)
        column = int((self.x + self.wide) // (2 * self.wide / self.columns))
        if 0 <= row < len(ROWS) and 0 <= column < self.columns and self.bricks[row][column]:
            self.bricks[row][column] = False
            self.vy = -self.vy


def play(canvas: Canvas, numbers: tuple[float, ...], colour: Colour, times: list[float]) -> BricksState:
    """Play from time 0, lay the moments at `times` (seconds, rising) on the canvas, and return their state."""
    game = Game(canvas.wide, canvas.tall, numbers)
    ball, paddle, left = [], [], []
    tick = 0
    for seconds in times:
        while tick < round(seconds * TICKS):
            game.step()
            tick += 1
        ball.append((game.x, game.y))
        paddle.append((game.paddle, -game.tall + _PADDLE_AT))
        left.append([list(row) for row in game.bricks])
    state = BricksState(torch.tensor(ball), torch.tensor(paddle), torch.tensor(left), (game.wide, game.tall))
    _lay(canvas, state, colour)
    return state


def _lay(canvas: Canvas, state: BricksState, colour: Colour) -> None:
    rows, columns = state.bricks.shape[1:]
    down = (canvas.tall - _TOP - canvas.v[0, :, 0]) / _ROW
    across = (canvas.u[0, 0] + canvas.wide) / (2 * canvas.wide / columns)
    row, column = down.floor().long().clamp(0, rows - 1), across.floor().long().clamp(0, columns - 1)
    # A gap of an eighth around each brick lets them be told apart.
    solid_row = (down >= 0) & (down < rows) & (down % 1 > 0.14)
    solid = solid_row[:, None] & (across % 1 > 0.1)[None]
    picture = torch.tensor(ROWS)[row].T[None, :, :, None].expand(1, 3, -1, len(across))
    canvas.lay(state.bricks[:, row][:, :, column] & solid, picture)
    x, y = (part[:, None, None] for part in state.paddle.unbind(1))
    half = PADDLE_HEIGHT / 2
    canvas.lay(canvas.box(x - PADDLE, y - half, x + PADDLE, y + half), colour)
    x, y = (part[:, None, None] for part in state.ball.unbind(1))
    canvas.lay(canvas.box(x - BALL, y - BALL, x + BALL, y + BALL), WHITE)


def read(frames: Tensor, backdrop: Colour, columns: int | None = None) -> BricksState:
    """The state of a game from its pixels (t h w 3), rendered or generated; the ball is NaN where none is seen."""
    pixels = to_floats(frames)
    height, width = pixels.shape[1:3]
    half = min(height, width) / 2
    wide, tall = width / 2 / half, height / 2 / half
    columns = columns or max(4, round(2 * wide / _BRICK))
    u = (torch.arange(width) + 0.5) / half - wide
    v = tall - (torch.arange(height) + 0.5) / half
    white = (pixels.amin(-1) > 0.8).float()
    total = white.flatten(1).sum(1)
    ball = torch.stack([(white.sum(1) * u).sum(1), (white.sum(2) * v).sum(1)], 1) / total[:, None]
    ball[total < 0.2 * (2 * BALL * half) ** 2] = torch.nan
    strip = ((v - (-tall + _PADDLE_AT)).abs() < PADDLE_HEIGHT / 2).nonzero().flatten()
    off = (pixels[:, strip] - torch.tensor(backdrop)).abs().amax(-1) > 0.2  # t strip w
    off = (off & (white[:, strip] == 0)).float().mean(1)
    place = (off * u).sum(1) / off.sum(1).clamp(min=1e-6)
    paddle = torch.stack([place, torch.full_like(place, -tall + _PADDLE_AT)], 1)
    rows = ((tall - _TOP - (torch.arange(len(ROWS)) + 0.55) * _ROW) - tall).neg().mul(half).long().clamp(0, height - 1)
    across = ((torch.arange(columns) + 0.55) / columns * width).long().clamp(0, width - 1)
    seen = pixels[:, rows][:, :, across]  # t rows columns 3
    close = (seen - torch.tensor(ROWS)[:, None]).square().sum(-1) < (seen - torch.tensor(backdrop)).square().sum(-1)
    centres = torch.stack(
        [
            ((torch.arange(columns) + 0.5) * 2 * wide / columns - wide).expand(len(ROWS), -1),
            (tall - _TOP - (torch.arange(len(ROWS)) + 0.5) * _ROW)[:, None].expand(-1, columns),
        ],
        dim=-1,
    )
    hidden = (ball[:, None, None] - centres).abs().amax(-1) < BALL + _BRICK / 2
    # Behind the ball nothing is seen, so what was there before is taken to be there still.
    left = [close[0] | hidden[0]]
    for i in range(1, len(close)):
        left.append(torch.where(hidden[i], left[-1], close[i]))
    return BricksState(ball, paddle, torch.stack(left), (wide, tall))


def rules(state: BricksState, fps: float) -> dict[str, Tensor]:
    """Which rules hold at each step from frame to frame (t-1, bool).

    `gone stays gone`: no brick comes back; `in play`: the ball is in the field and above the paddle's line;
    `steady`: the ball moves no faster than balls do; `returned`: where the ball turns up at the bottom, the paddle is
    under it.
    """
    ball = state.ball
    seen = ~ball.isnan().any(1)
    before, after = ball[:-1], ball[1:]
    both = seen[:-1] & seen[1:]
    wide, tall = state.field
    inside = (after[:, 0].abs() < wide + 0.02) & (after[:, 1] < tall + 0.02) & (after[:, 1] > -tall + _PADDLE_AT - 0.05)
    speed = (after - before).norm(dim=1) * fps
    low = -tall + _PADDLE_AT + PADDLE_HEIGHT / 2 + BALL + 2.0 / (2 * fps)
    turns = torch.zeros(len(after), dtype=torch.bool)
    turns[1:] = (before[1:, 1] < before[:-1, 1]) & (after[1:, 1] > before[1:, 1]) & (before[1:, 1] < low)
    gap = (before[:, 0] - state.paddle[:-1, 0]).abs()
    # Between two frames ball and paddle may both have moved on.
    return {
        "gone stays gone": ~(state.bricks[1:] & ~state.bricks[:-1]).flatten(1).any(1),
        "in play": seen[1:] & inside,
        "steady": both & (speed < 2.3),
        "returned": ~turns | (gap < PADDLE + BALL + 2.0 / fps),
    }
