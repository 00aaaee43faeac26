"""The one training loop: step, clip, average, report, save; a killed run continues bit for bit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from .optimizer import build_optimizer
from .state import load_state, save_state


class Task(Protocol):
    """What the loop trains: a module and a loss that depends on nothing but the step number."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        """The loss of one step's batch, figures to report, and the number of samples in the batch."""
        ...

    def sheet(self, path: Path) -> None:
        """Draw a contact sheet of what the module can do now."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast to train."""

    steps: int
    lr: float = 1e-3
    warmup: int = 100
    decay: float = 0.3
    """Last share of the run in which the learning rate falls linearly to zero."""
    clip: float = 1.0
    ema: float = 0.999
    save_every: int = 200
    report_every: int = 20
    sheet_every: int = 1000

    def rate(self, step: int) -> float:
        """Learning rate at `step`: linear warm-up, constant, linear decay."""
        decay_steps = max(1, round(self.steps * self.decay))
        return self.lr * min(1.0, (step + 1) / max(1, self.warmup), max(0.0, (self.steps - step) / decay_steps))


def train(task: Task, config: TrainConfig, out: Path, *, say: Callable[[str], None] = print) -> dict[str, Tensor]:
    """Train until `config.steps`, resuming from `out/state.safetensors` when it exists; returns averaged weights."""
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / "state.safetensors"
    module = task.module
    optimizer = build_optimizer(module.named_parameters(), config.lr)
    ema = {name: p.detach().clone() for name, p in module.named_parameters()}
    step = load_state(state_path, module, ema, optimizer) if state_path.exists() else 0
    if step:
        say(f"resuming at step {step} of {config.steps}")
    parameters = list(module.parameters())
    figures: dict[str, float] = {}
    samples, count, started = 0, 0, time.perf_counter()
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step) * group["share"]
        loss, report, batch = task.loss(step)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, config.clip, error_if_nonfinite=False)
        if torch.isfinite(norm):
            optimizer.step()
        else:
            say(f"step {step}: gradient norm is {float(norm)}; the step is skipped")
        optimizer.zero_grad(set_to_none=True)
        # A short run would otherwise average in its random start.
        decay = min(config.ema, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(ema.values()), [p.detach() for p in parameters], 1 - decay)
        step += 1
        for key, value in {"loss": float(loss.detach()), "norm": float(norm), **report}.items():
            figures[key] = figures.get(key, 0.0) + value
        samples, count = samples + batch, count + 1
        if step % config.report_every == 0 or step == config.steps:
            seconds = time.perf_counter() - started
            line = {k: round(v / count, 6) for k, v in figures.items()}
            line |= {"step": step, "samples_per_second": round(samples / seconds, 2), "lr": config.rate(step)}
            say(json.dumps(line))
            with open(out / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            figures, samples, count, started = {}, 0, 0, time.perf_counter()
        if step % config.save_every == 0 or step == config.steps:
            save_state(state_path, module, ema, optimizer, step, {"steps": config.steps})
        if step % config.sheet_every == 0 or step == config.steps:
            with averaged(module, ema):
                task.sheet(out / f"sheet_{step:07d}.png")
            started = time.perf_counter()
    return ema


@contextmanager
def averaged(module: nn.Module, ema: dict[str, Tensor]) -> Iterator[None]:
    """Within the block the module computes with its averaged weights, as in inference."""

    def swap() -> None:
        for name, parameter in module.named_parameters():
            held = parameter.detach().clone()
            parameter.data.copy_(ema[name])
            ema[name].copy_(held)

    swap()
    module.eval()
    try:
        yield
    finally:
        swap()
        module.train()
