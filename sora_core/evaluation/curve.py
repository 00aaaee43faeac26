"""Quality against training compute: loss, score and solidity of one run's checkpoints, and a power law of the loss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import build_parts, read_checkpoint
from ..files import write_json
from ..pipeline import Sora
from .denoising import denoising_loss
from .editing_bench import Bench
from .fidelity import SamplerSettings, ceiling, fidelity
from .geometry import geometry_report
from .judge import Judge, load_judge
from .prompts import described
from .rules import SHAPE
from .score import scored


def trained_tokens(path: Path) -> int:
    """How many tokens a model file's transformer was trained on. Raises ValueError when its header does not say so."""
    about = json.loads(read_checkpoint(path).metadata.get("about", "{}"))
    if "tokens" not in about:
        raise ValueError(f"the header of {path} does not say how many tokens it was trained on; write {path}=8e6")
    return int(str(about["tokens"]).replace(",", ""))


def parse_checkpoint(entry: str) -> tuple[Path, int]:
    """A `FILE` whose header holds its trained tokens, or `FILE=TOKENS`. Raises ValueError for anything else."""
    name, equals, tokens = entry.rpartition("=")
    if not equals or Path(entry).is_file():  # folders may be called lr=1e-4
        return Path(entry), trained_tokens(Path(entry))
    try:
        count = float(tokens)
    except ValueError:
        count = math.nan
    if not 0 < count < math.inf:
        raise ValueError(f"{entry!r} is no FILE=TOKENS; tokens are a number above 0, as in model.safetensors=8e6")
    return Path(name), round(count)


def power_law(compute: Sequence[float], loss: Sequence[float]) -> dict[str, float]:
    """The straight line through the logarithms: loss = factor * compute ** -exponent, and its largest relative error.

    Raises ValueError for fewer than two different computes.
    """
    if len(set(compute)) < 2:
        raise ValueError("a curve needs checkpoints with at least two different numbers of trained tokens")
    x, y = [math.log(c) for c in compute], [math.log(v) for v in loss]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)
    factor = math.exp(mean_y - slope * mean_x)
    error = max(abs(factor * c**slope / v - 1) for c, v in zip(compute, loss, strict=True))
    return {"exponent": -slope, "factor": factor, "error": error}


def training_flops(path: Path, tokens: int) -> float:
    """Floating-point operations of training a model file's transformer on so many tokens.

    Six per weight and token: two forward, four backward (Kaplan et al., 2020).
    """
    network = build_parts(read_checkpoint(path).config, device="meta")["dit"]
    return 6.0 * sum(weight.numel() for weight in network.parameters()) * tokens


def curve(
    checkpoints: Sequence[tuple[Path, int]], out: Path, *, clips: int, settings: SamplerSettings,
    judge: Judge | None = None, device: torch.device | str = "cpu", say: Callable[[str], None] = print,
) -> dict[str, Any]:  # fmt: skip
    """Measure every checkpoint on the same clips and prompts; write the report, and a plot beside it if possible.

    Raises ValueError for no clips, for a report in the place of its plot, for a file that is no model and for fewer
    than two different computes, before anything is measured.
    """
    if clips < 1:
        raise ValueError(f"clips is {clips}; it must be at least 1, for instance 48")
    if out.suffix.lower() == ".png":
        raise ValueError(f"{out} is where the plot will be; give the report a name that ends in .json")
    compute = {(path, tokens): training_flops(path, tokens) for path, tokens in checkpoints}
    power_law(list(compute.values()), [1.0] * len(compute))
    judge = (judge or load_judge()).to(device)
    rows: list[dict[str, Any]] = []
    prompts = described(clips, held_out=False, style="descriptive")
    best = ceiling(judge, prompts, SHAPE)
    report: dict[str, Any] = {"clips": clips, "checkpoints": rows}
    say(f"{'model':<32} {'tokens':>14} {'FLOPs':>10} {'loss':>9} {'score':>7} {'reprojection':>13}")
    for path, tokens in sorted(checkpoints, key=lambda entry: entry[1]):
        model = Sora.load(path, device=device)
        flops = compute[path, tokens]
        loss = denoising_loss(model, prompts, SHAPE)["weighted"]
        share = scored(fidelity(model, judge, prompts, SHAPE, settings), best)["share"]
        solid = geometry_report(Bench(model, judge, clips, settings))["reprojection error"]["generated"]
        rows.append({"model": path.name, "tokens": tokens, "flops": flops, "loss": loss, "score": share,
                     "reprojection": solid})  # fmt: skip
        say(f"{path.name:<32} {tokens:>14,} {flops:>10.2e} {loss:>9.5f} {share:>7.3f} {solid:>13.4f}")
        write_json(out, report)  # after each model, so that a long run that is cut off leaves what it found
    fit = power_law([row["flops"] for row in rows], [row["loss"] for row in rows])
    say(f"loss = {fit['factor']:.4g} * FLOPs ^ -{fit['exponent']:.4f}, at most {100 * fit['error']:.1f} % off")
    report["power_law"] = fit
    write_json(out, report)
    plot(rows, fit, out.with_suffix(".png"), say)
    return report


def plot(rows: list[dict[str, Any]], fit: dict[str, float], path: Path, say: Callable[[str], None]) -> None:
    """Draw loss with its power law and score over compute; says so when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        say('no plot: it needs matplotlib (pip install -e ".[plots]" in the repository)')
        return
    compute = [row["flops"] for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(compute, [row["loss"] for row in rows], "o", label="held-out loss")
    left.loglog(
        compute, [fit["factor"] * c ** -fit["exponent"] for c in compute], "--", label=f"~ C^-{fit['exponent']:.3f}"
    )
    left.set(xlabel="training FLOPs", ylabel="weighted denoising loss")
    left.legend()
    right.semilogx(compute, [row["score"] for row in rows], "o-")
    right.set(xlabel="training FLOPs", ylabel="text fidelity, share of the judge's ceiling", ylim=(0, 1.05))
    figure.savefig(path, dpi=120)
    say(str(path))
