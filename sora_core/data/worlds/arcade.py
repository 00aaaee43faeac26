"""The arcade world: two small games that are played while they are filmed, by a player with a simple policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from . import bricks, runner
from .attributes import COLOURS
from .bricks import BricksState
from .flat import Canvas, Colour
from .runner import RunnerState
from .scene import PALETTE
from .sheets import Sheet

GAMES = ("bricks", "runner")
BACKDROPS: dict[str, Colour] = {"dark": (0.07, 0.07, 0.15), "sky": (0.46, 0.77, 0.98), "dusk": (0.44, 0.22, 0.40)}


@dataclass(frozen=True, kw_only=True)
class ArcadeAttributes(Sheet):
    """Which game, the colour of the player (the paddle or the hero) and what is behind."""

    VALUES: ClassVar = {"game": GAMES, "colour": COLOURS, "backdrop": tuple(BACKDROPS)}

    game: str
    colour: str
    backdrop: str


@dataclass(frozen=True, kw_only=True)
class ArcadeScene:
    """Everything that decides the pixels: the player's colour, and numbers in [0, 1) that the game makes a start of."""

    attributes: ArcadeAttributes
    colour: Colour
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class ArcadeClip:
    """Frames (t h w 3) uint8 at `fps`, what they show, and the state of the game in every frame if asked for."""

    frames: Tensor
    fps: float
    attributes: ArcadeAttributes
    truth: BricksState | RunnerState | None = None


def sample_scene(
    generator: torch.Generator, attributes: ArcadeAttributes | None = None, *, seconds: float = 2.0
) -> ArcadeScene:
    """Draw a game for the given attributes, or for drawn ones; games go on for as long as they are filmed."""
    u = torch.rand(46, generator=generator, dtype=torch.float64).tolist()
    drawn = [values[int(n * len(values))] for values, n in zip(ArcadeAttributes.VALUES.values(), u[:3], strict=True)]
    a = attributes or ArcadeAttributes(game=drawn[0], colour=drawn[1], backdrop=drawn[2])
    red, green, blue = (
        min(1.0, max(0.0, c + 0.06 * (n - 0.5))) for c, n in zip(PALETTE[a.colour], u[3:6], strict=True)
    )
    return ArcadeScene(attributes=a, colour=(red, green, blue), numbers=tuple(u[6:]))


@torch.no_grad()
def render(
    scene: ArcadeScene, num_frames: int, height: int, width: int, fps: float, start: float = 0.0,
    want_truth: bool = True,
) -> ArcadeClip:  # fmt: skip
    """Draw `num_frames` frames of a game, the first at `start` seconds. Raises ValueError for sizes below 1.

    The field fills the frame, so frames of another aspect show another course of the same game.
    """
    canvas = Canvas(num_frames, height, width, BACKDROPS[scene.attributes.backdrop])
    times = [start + index / fps for index in range(num_frames)]
    play = bricks.play if scene.attributes.game == "bricks" else runner.play
    state = play(canvas, scene.numbers, scene.colour, times)
    return ArcadeClip(canvas.frames(), fps, scene.attributes, state if want_truth else None)
