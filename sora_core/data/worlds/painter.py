"""The painter world: a brush leaves strokes that stay, and bites taken from food stay taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .attributes import COLOURS
from .flat import WHITE, Canvas, Colour, nearest_colour
from .scene import PALETTE
from .sheets import Sheet

STROKES = ("line", "wave", "zigzag", "circle")
SURFACES: dict[str, Colour] = {"white": (0.96, 0.95, 0.92), "black": (0.07, 0.08, 0.09), "wood": (0.62, 0.43, 0.26)}
FOODS: dict[str, Colour] = {
    "cookie": (0.72, 0.48, 0.24), "donut": (0.84, 0.36, 0.55), "pizza": (0.93, 0.72, 0.26), "melon": (0.86, 0.17, 0.22),
}  # fmt: skip
_RIMS: dict[str, Colour] = {
    "cookie": (0.60, 0.37, 0.17), "donut": (0.70, 0.46, 0.22), "pizza": (0.70, 0.44, 0.16), "melon": (0.13, 0.46, 0.17),
}  # fmt: skip
_TOPPINGS: dict[str, Colour] = {
    "cookie": (0.25, 0.13, 0.07), "donut": (0.98, 0.86, 0.30), "pizza": (0.72, 0.12, 0.10), "melon": (0.10, 0.05, 0.05),
}  # fmt: skip
_HANDLE: Colour = (0.45, 0.26, 0.12)
_FERRULE: Colour = (0.72, 0.73, 0.76)
_PLATE_RADIUS, _FOOD_RADIUS = 0.86, 0.66


@dataclass(frozen=True, kw_only=True)
class PainterAttributes(Sheet):
    """What happens: a brush paints a stroke of a colour on a surface, or food is eaten at a table of a colour."""

    VALUES: ClassVar = {
        "activity": ("paint", "eat"),
        "colour": COLOURS,
        "stroke": ("none", *STROKES),
        "surface": ("none", *SURFACES),
        "food": ("none", *FOODS),
    }

    activity: str
    colour: str
    stroke: str = "none"
    surface: str = "none"
    food: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        painting = self.activity == "paint"
        if (painting, painting, not painting) != (self.stroke != "none", self.surface != "none", self.food != "none"):
            raise ValueError(
                f"activity is {self.activity!r} with stroke {self.stroke!r}, surface {self.surface!r} and food"
                f" {self.food!r}; painting needs a stroke and a surface, eating needs a food, and nothing else"
            )


@dataclass(frozen=True, kw_only=True)
class PainterScene:
    """Everything that decides the pixels. Lengths are halves of the shorter side of the frame, times seconds."""

    attributes: PainterAttributes
    colour: Colour
    radius: float
    """Of the brush, or of a bite."""
    height: float
    """How far a stroke swings."""
    phase: float
    direction: int
    begin: float
    """How much of the stroke is there at time 0."""
    tempo: float
    """Seconds of a whole stroke, or between two bites."""
    bites: tuple[tuple[float, float], ...]
    toppings: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PainterTruth:
    """`marked` (t h w): where paint is, covered by the brush or not, or where food is gone; `seen` (t h w): where that
    is not covered; `tip` (t 2): the brush."""

    marked: Tensor
    seen: Tensor
    tip: Tensor


@dataclass(frozen=True)
class PainterClip:
    """Frames (t h w 3) uint8 at `fps`, what they show, and the ground truth if asked for."""

    frames: Tensor
    fps: float
    attributes: PainterAttributes
    truth: PainterTruth | None = None


def sample_scene(
    generator: torch.Generator, attributes: PainterAttributes | None = None, *, seconds: float = 2.0
) -> PainterScene:
    """Draw a scene of about `seconds` for the given attributes, or for drawn ones: as often painting as eating."""
    u = iter(torch.rand(64, generator=generator, dtype=torch.float64).tolist())

    def pick(values: tuple[str, ...]) -> str:
        return values[int(next(u) * len(values))]

    painting, colour, stroke = next(u) < 0.5, pick(COLOURS), pick(STROKES)
    surface, food = pick(tuple(SURFACES)), pick(tuple(FOODS))
    drawn = PainterAttributes(activity="paint", colour=colour, stroke=stroke, surface=surface) if painting else \
        PainterAttributes(activity="eat", colour=colour, food=food)  # fmt: skip
    a = attributes or drawn
    red, green, blue = (min(1.0, max(0.0, c + 0.06 * (next(u) - 0.5))) for c in PALETTE[a.colour])
    painting = a.activity == "paint"
    first = 2 * math.pi * next(u)
    angles = [first + (2.0 + 0.5 * next(u)) * i for i in range(6)]
    toppings = [(0.5 * next(u) ** 0.5, 2 * math.pi * (i + next(u)) / 9) for i in range(9)]
    return PainterScene(
        attributes=a,
        colour=(red, green, blue),
        radius=0.10 + 0.05 * next(u) if painting else 0.27 + 0.06 * next(u),
        height=(0.2 + 0.3 * next(u)) * (1 if next(u) < 0.5 else -1),
        phase=2 * math.pi * next(u),
        direction=1 if next(u) < 0.5 else -1,
        begin=0.15 * next(u),
        tempo=seconds * ((0.8 + 0.4 * next(u)) if painting else (0.2 + 0.15 * next(u))),
        bites=tuple((0.95 * _FOOD_RADIUS * math.cos(x), 0.95 * _FOOD_RADIUS * math.sin(x)) for x in angles),
        toppings=tuple((r * math.cos(x), r * math.sin(x)) for r, x in toppings),
    )


def _path(scene: PainterScene, wide: float, tall: float, points: int = 160) -> Tensor:
    """Places (points 2) that the brush passes at even times, along the longer side of the frame."""
    s = torch.linspace(0, 1, points)
    way = (2 * s - 1) * scene.direction
    if scene.attributes.stroke == "circle":
        angle = 2 * math.pi * s * scene.direction + scene.phase
        return 0.58 * torch.stack([angle.cos(), angle.sin()], 1)
    swing = {
        "line": way * 0.6,
        "wave": (way * 1.5 * math.pi + scene.phase).sin(),
        "zigzag": ((way * 1.5 + scene.phase) % 2 - 1).abs() * 2 - 1,
    }[scene.attributes.stroke]
    long, short = way * (max(wide, tall) - 0.25), swing * scene.height
    return torch.stack([long, short] if wide >= tall else [short, -long], 1)


@torch.no_grad()
def render(
    scene: PainterScene, num_frames: int, height: int, width: int, fps: float, start: float = 0.0,
    want_truth: bool = True,
) -> PainterClip:  # fmt: skip
    """Draw `num_frames` frames of a scene, the first at `start` seconds. Raises ValueError for sizes below 1."""
    painting = scene.attributes.activity == "paint"
    ground = SURFACES[scene.attributes.surface] if painting else scene.colour
    canvas = Canvas(num_frames, height, width, ground)
    times = (start + torch.arange(num_frames) / fps)[:, None, None]
    marked, covered, tip = (_paint if painting else _eat)(canvas, scene, times)
    truth = PainterTruth(canvas.halved(marked), canvas.halved(marked & ~covered), tip) if want_truth else None
    return PainterClip(canvas.frames(), fps, scene.attributes, truth)


def _paint(canvas: Canvas, scene: PainterScene, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lay stroke and brush; returns where both are (t 2h 2w) and the tip of the brush (t 2) in 0..1 of the frame."""
    path = _path(scene, canvas.wide, canvas.tall)
    done = (scene.begin + times / scene.tempo).clamp(0, 1)
    arrival = torch.full(canvas.u.shape[1:], 2.0)
    for i in range(len(path) - 1, -1, -1):  # backwards, so that the earliest visit remains
        u, v = path[i].tolist()
        arrival[canvas.disc(u, v, scene.radius)[0]] = i / (len(path) - 1)
    marked = arrival[None] <= done
    canvas.lay(marked, scene.colour)
    tip = path[(done * (len(path) - 1)).round().long().flatten()]
    at = (tip[:, 0, None, None], tip[:, 1, None, None])
    beyond = (at[0] + 0.15, at[1] + 0.2)
    handle = canvas.bar(beyond, (0.75, 1.0), 0.055)
    ferrule = canvas.bar((at[0] + 0.06, at[1] + 0.08), (0.09, 0.12), 0.085)
    bristles = canvas.bar(at, (0.06, 0.08), 0.085)
    canvas.lay(handle, _HANDLE)
    canvas.lay(ferrule, _FERRULE)
    canvas.lay(bristles, _bristles(scene.colour))
    place = torch.stack([(tip[:, 0] / canvas.wide + 1) / 2, (1 - tip[:, 1] / canvas.tall) / 2], 1)
    return marked, handle | ferrule | bristles, place


def _bristles(colour: Colour) -> Colour:
    """Wet bristles are darker than paint on paper, which also tells the brush from the stroke."""
    red, green, blue = (0.55 * c for c in colour)
    return red, green, blue


def _eat(canvas: Canvas, scene: PainterScene, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lay plate and what is left of the food; returns where food is gone (t 2h 2w), and no brush (t 2h 2w and 0 2)."""
    food = scene.attributes.food
    whole = canvas.disc(0, 0, _FOOD_RADIUS)
    if food == "donut":
        whole = whole & ~canvas.disc(0, 0, 0.2)
    gone = torch.zeros_like(canvas.pixels[:, 0], dtype=torch.bool)
    for i, (u, v) in enumerate(scene.bites):
        # Three arcs look like teeth.
        turn = math.atan2(v, u)
        teeth = [turn + 0.5 * math.pi + k * 0.8 for k in (-1, 0, 1)]
        bite = canvas.disc(u, v, scene.radius * 0.8)
        for angle in teeth:
            way = angle + 0.5 * math.pi
            bite = bite | canvas.disc(u + 0.2 * math.cos(way), v + 0.2 * math.sin(way), scene.radius * 0.55)
        gone |= bite & (times >= scene.tempo * (i + 1 - 5 * scene.begin))
    left = whole & ~gone
    canvas.lay(canvas.disc(0, 0, _PLATE_RADIUS), WHITE)
    canvas.lay(left, _RIMS[food])
    canvas.lay(left & canvas.disc(0, 0, _FOOD_RADIUS - 0.09), FOODS[food])
    size = 0.1 if food == "pizza" else 0.055
    for u, v in scene.toppings:
        canvas.lay(left & canvas.disc(u, v, size), _TOPPINGS[food])
    return whole & gone, torch.zeros_like(gone), torch.empty(0, 2)


def seen_marks(frames: Tensor, attributes: PainterAttributes) -> tuple[Tensor, Tensor]:
    """Where paint is seen or food is gone, and where the bare surface or food is seen: two masks (t h w).

    A mark's edge blends with its surroundings, and so does a brush's; only what lies within counts.
    """
    if attributes.activity == "paint":
        paint = PALETTE[attributes.colour]
        colours = [paint, SURFACES[attributes.surface], _bristles(paint), _HANDLE, _FERRULE]
        seen = nearest_colour(frames, colours)
        mark, unmarked = seen == 0, seen == 1
    else:
        food = attributes.food
        seen = nearest_colour(frames, [WHITE, PALETTE[attributes.colour], FOODS[food], _RIMS[food], _TOPPINGS[food]])
        mark, unmarked = seen == 0, seen >= 2
    mark, unmarked = (~(F.max_pool2d((~m)[:, None].float(), 3, 1, 1)[:, 0] > 0) for m in (mark, unmarked))
    return mark, unmarked


def grown(frames: Tensor, attributes: PainterAttributes) -> float:
    """By which share of the frame the marks of a clip (t h w 3) grow from the first frame to the last."""
    mark, _ = seen_marks(frames[[0, -1]], attributes)
    first, last = mark.flatten(1).float().mean(1).tolist()
    return last - first


def persistence(frames: Tensor, attributes: PainterAttributes, tolerance: float = 0.02) -> Tensor:
    """Whether marks stay: for each step from frame to frame (t-1, bool), at most `tolerance` of them is undone.

    Up to 0.2 % of the frame, which is the blur of an edge, is never counted. Works on pixels (t h w 3), rendered or
    generated: paint that a brush covers is not undone, but where the surface shows after paint has been seen it is, and
    so is a bite where food shows after the plate has been seen. A clip without marks undoes none: see `grown`.
    """
    mark, unmarked = seen_marks(frames, attributes)
    marked_before = mark.cummax(0).values
    undone = marked_before & unmarked
    fresh = (undone[1:] & ~undone[:-1]).flatten(1).sum(1)
    return fresh <= (tolerance * marked_before[:-1].flatten(1).sum(1)).clamp(min=0.002 * mark[0].numel())
