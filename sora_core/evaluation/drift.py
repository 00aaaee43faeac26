"""Drift of long videos: how statistics, colours and the subject's hue move over a minute, with correction and without.

`sora evaluate --long --out drift.json` takes a quarter of an hour of one core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import kornia.color
import torch
from torch import Tensor

from ..checkpoint import BUNDLED
from ..editing.long_video import long_video
from ..editing.regenerate import Sampling
from ..pipeline import Sora
from ..shapes import VideoShape

SUBJECTS = (
    ("a red ball rolls on a meadow during the day", 0.0),
    ("a yellow duck floats on the sea during the day", 60.0),
    ("a blue car drives through the snow during the day", 230.0),
    ("a purple mushroom stands in the desert during the day", 285.0),
)
"""Prompts, and the hue of the subject in degrees; nothing around it has a hue within `WIDE` of that, as a sunset would
have that of a duck."""
SHAPE = VideoShape(num_frames=480, height=64, width=64, fps=8.0)
CORRECTION = 0.5
STEPS = 8
STRIDE = 10.0
"""Seconds per part of the video; slopes are per part."""
BINS = 8
WIDE = 50.0
"""Degrees around the asked-for hue within which a pixel can belong to the subject."""
SLOPE, TURN, SHARE = 0.01, 10.0, 0.8
"""What is promised: drift per 10 s, degrees of hue at the end, and the share of seeds that keep to them."""


@dataclass(frozen=True)
class Frame:
    """What is kept of a frame: mean and deviation of its brightness, its colour histogram and its subject's hue."""

    mean: float
    deviation: float
    histogram: Tensor
    hue: float | None


def look(picture: Tensor, hue: float) -> Frame:
    """Measure one frame `3 h w` in [0, 1] whose subject has about this `hue`, in degrees."""
    index = (picture * BINS).long().clamp(max=BINS - 1)
    flat = (index[0] * BINS + index[1]) * BINS + index[2]
    histogram = torch.bincount(flat.flatten(), minlength=BINS**3).float() / flat.numel()
    return Frame(float(picture.mean()), float(picture.std()), histogram, subject_hue(picture, hue))


def subject_hue(picture: Tensor, hue: float) -> float | None:
    """The mean hue in degrees of the saturated pixels near `hue`; None when there are too few to be a subject."""
    h, s, v = kornia.color.rgb_to_hsv(picture)
    angle = torch.rad2deg(h)
    near = (_turn(angle, hue).abs() < WIDE) & (s > 0.4) & (v > 0.25)
    if int(near.sum()) < 0.003 * near.numel():
        return None
    weight = (s * v)[near]
    turn = (_turn(angle[near], hue) * weight).sum() / weight.sum()
    return float((hue + turn) % 360)


def _turn(a: Any, b: float) -> Any:
    """The signed way from hue `b` to `a` in degrees, -180 to 180."""
    return (a - b + 180) % 360 - 180


def slope(values: Sequence[float], seconds: float) -> float:
    """Least-squares change per `STRIDE` seconds of values that are spread evenly over so many seconds."""
    y = torch.tensor(values, dtype=torch.float64)
    x = torch.linspace(0, seconds / STRIDE, len(y), dtype=torch.float64)
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / x.square().sum())


def drift(frames: Sequence[Frame], fps: float, hue: float) -> dict[str, float | None]:
    """Slopes per 10 s as shares of the scale, of brightness, contrast and distance of colours from the first 2 s.

    The mean is on the scale 0 to 1, the deviation a share of its first value, and the distance between histograms half
    of the sum of differences, 0 to 1. `hue` is how far the subject's hue has turned in the last two seconds.
    """
    seconds, count = len(frames) / fps, max(1, round(2 * fps))
    first = torch.stack([frame.histogram for frame in frames[:count]]).mean(0)
    distances = [float((frame.histogram - first).abs().sum() / 2) for frame in frames[count:]]
    begun = sum(frame.deviation for frame in frames[:count]) / count
    start, end = _mean_hue(frames[:count], hue), _mean_hue(frames[-count:], hue)
    turned = None if start is None else 180.0 if end is None else abs(_turn(end, start))
    return {
        "mean": slope([frame.mean for frame in frames], seconds),
        "deviation": slope([frame.deviation for frame in frames], seconds) / max(begun, 1e-6),
        "histogram": slope(distances, seconds - 2),
        "hue": turned,
    }


def _mean_hue(frames: Sequence[Frame], hue: float) -> float | None:
    turns = [_turn(frame.hue, hue) for frame in frames if frame.hue is not None]
    return (hue + sum(turns) / len(turns)) % 360 if turns else None


@torch.inference_mode()
def measure(sora: Sora, prompt: str, hue: float, seed: int, shape: VideoShape, correction: float, steps: int) -> Any:
    """The drift of one long video."""
    latent = long_video(sora, prompt, shape, seed, correction=correction, sampling=Sampling(steps=steps))
    frames = [look(frame, hue) for part in sora.decode(latent, shape) for frame in part.unbind(1)]
    return drift(frames, shape.fps, hue)


def summarised(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over videos of the sizes of their slopes, and the share whose subject keeps its hue.

    A subject that cannot be found at the beginning says nothing about drift and is left out; one that is lost later
    has not kept its hue.
    """
    found = [row["hue"] for row in rows if row["hue"] is not None]
    result: dict[str, Any] = {
        name: round(median(abs(row[name]) for row in rows), 5) for name in ("mean", "deviation", "histogram")
    }
    kept = sum(turn <= TURN for turn in found)
    return result | {"hue kept": round(kept / len(found), 3) if found else None, "subjects found": len(found)}


def evaluate_drift(
    checkpoint: Path | None = None, *, seeds: int = 2, shape: VideoShape = SHAPE, steps: int = STEPS,
    device: torch.device | str = "cpu", say: Callable[[str], None] = print,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Make every prompt with `seeds` seeds, with the correction of colours and without it; print and return the drift.

    `keep` is given the report on what there is after each pair of videos: all of them take long.
    Raises ValueError for less than one seed or a video shorter than 20 seconds.
    """
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}; it must be at least 1, for instance 2")
    if not (math.isfinite(shape.seconds) and shape.seconds >= 2 * STRIDE):
        raise ValueError(f"the video is {shape.seconds:g} s; drift can be seen from {2 * STRIDE:g} s on")
    sora = Sora.load(checkpoint, device=device)
    report: dict[str, Any] = {
        "model": (checkpoint or BUNDLED).name, "steps": steps, "seconds": shape.seconds, "videos": 0,
    }  # fmt: skip
    rows: dict[str, list[dict[str, Any]]] = {"corrected": [], "uncorrected": []}
    for seed in range(seeds):
        for prompt, hue in SUBJECTS:
            for name, correction in (("corrected", CORRECTION), ("uncorrected", 0.0)):
                found = measure(sora, prompt, hue, seed, shape, correction, steps)
                rows[name].append(found)
                shown = ", ".join(f"{key} {'-' if v is None else f'{v:+.4f}'}" for key, v in found.items())
                say(f"{name}: {prompt}, seed {seed}: {shown}")
            report |= {name: summarised(videos) | {"each": videos} for name, videos in rows.items()}
            report["videos"] = len(rows["corrected"])
            keep(report)
    say(table(report))
    return report


def table(report: dict[str, Any]) -> str:
    """The report as text: one line for each promise, with correction and without."""
    lines = [f"drift over {report['seconds']:g} s, {report['videos']} videos, medians, per {STRIDE:g} s"]
    lines.append(f"{'':<20}{'corrected':>12}{'without':>12}   wanted")
    for name in ("mean", "deviation", "histogram", "hue kept"):
        wanted = f">= {SHARE:g}" if name == "hue kept" else f"<= {SLOPE:g}"
        with_it, without = (report[key][name] for key in ("corrected", "uncorrected"))
        met = with_it is not None and (with_it >= SHARE if name == "hue kept" else with_it <= SLOPE)
        cells = "".join(f"{'-' if value is None else f'{value:.4f}':>12}" for value in (with_it, without))
        lines.append(f"{name:<20}{cells}   {wanted}, {'met' if met else 'MISSED'}")
    found = report["corrected"]["subjects found"]
    lines.append(f"subjects that could be found in the first seconds: {found} of {report['videos']}")
    return "\n".join(lines)
