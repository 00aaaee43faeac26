"""The report of prompting with images and videos: each figure beside its bound, and pictures of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import BUNDLED
from ..files import write_json
from ..pipeline import DEFAULT_GUIDANCE, DEFAULT_STEPS, Sora
from ..training.pictures import contact_sheet
from .editing_bench import SHAPE, Bench, Row
from .editing_changes import connect, edit
from .editing_rows import animate, extend, loop
from .fidelity import SamplerSettings
from .gallery import save_rounds
from .judge import BUNDLED as BUNDLED_JUDGE
from .judge import load_judge
from .summary import judged, verdicts

ROWS: dict[str, Callable[[Bench], Row]] = {
    "animate": animate, "extend": extend, "loop": loop, "edit": edit, "connect": connect,
}  # fmt: skip
"""What can be measured, and how."""
SEEDS = 32
COLUMNS = 9
"""Frames of each clip on a contact sheet."""


def evaluate_editing(
    checkpoint: Path | None = None, out: Path | None = None, *, seeds: int = SEEDS, sheets: Path | None = None,
    rows: Iterable[str] = tuple(ROWS), steps: int = DEFAULT_STEPS, guidance: float = DEFAULT_GUIDANCE,
    judge: Path = BUNDLED_JUDGE, device: torch.device | str = "cpu", say: Callable[[str], None] = print,
) -> dict[str, Any]:  # fmt: skip
    """Measure what a model makes of images and videos, print a table per row, write JSON to `out` and return it.

    Args:
        seeds: Clips per row; 32 take about seven minutes of one idle core.
        sheets: Folder for a contact sheet per row and a loop as MP4; none are made without it.
        rows: Which of `ROWS` to measure.

    Raises:
        ValueError: an unknown row or less than two seeds; and what loading the model and the judge raises.
    """
    wanted = tuple(rows)
    for name in wanted:
        if name not in ROWS:
            raise ValueError(f"there is no row {name!r} of the editing report; choose from {', '.join(ROWS)}")
    if seeds < 2:
        raise ValueError(f"seeds is {seeds}; it must be at least 2, for instance {SEEDS}")
    settings = SamplerSettings(steps=steps, guidance=guidance)
    bench = Bench(Sora.load(checkpoint, device=device), load_judge(judge).to(device), seeds, settings)
    report: dict[str, Any] = {
        "model": (checkpoint or BUNDLED).name, "seeds": seeds, "clips": f"{SHAPE.width}x{SHAPE.height}",
        "sampling": {"steps": steps, "guidance": guidance, "sampler": settings.sampler}, "rows": {},
    }  # fmt: skip
    for name in (name for name in ROWS if name in wanted):
        started = time.process_time()
        row = ROWS[name](bench)
        report["rows"][name] = {
            "promises": judged(row.promises), "figures": rounded(row.figures), "sheet": row.legend,
        }  # fmt: skip
        if out is not None:  # after each row, so that a long run that is cut off leaves what it found
            write_json(out, report)
        if sheets is not None:
            draw(row, sheets, name)
        say(table(name, report["rows"][name]))
        say(f"{seeds} clips, {time.process_time() - started:.0f} s of CPU time")
    return report


def draw(row: Row, folder: Path, name: str) -> None:
    """Save the contact sheet of a row, and its loops as endless as MP4 allows."""
    contact_sheet(row.sheet, folder / f"{name}.png", COLUMNS)
    for number, clip in enumerate(row.clips):
        save_rounds(clip, folder / f"{name}_{number}.mp4", SHAPE.fps)


def rounded(figures: Any) -> Any:
    """Numbers in nested dicts and lists to four digits that count."""
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    if isinstance(figures, list):
        return [rounded(value) for value in figures]
    return float(f"{figures:.4g}") if isinstance(figures, float) else figures


def table(name: str, row: dict[str, Any]) -> str:
    """A row as text: its promises, and what else was found."""
    more = [f"         {what}: {figure}" for what, figure in row["figures"].items()]
    return "\n".join([f"{name}:", *verdicts(row["promises"], "  "), *more])
