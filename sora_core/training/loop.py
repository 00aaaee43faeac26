"""The one training loop: step, clip, average, report, save; a killed run continues bit for bit.

A step sums the gradients of `slots` batches. Started by torchrun, processes share them out and stay equal.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..files import whole_or_absent
from . import parallel
from .optimizer import build_optimizer
from .sharding import clip_gradients, is_sharded, own, refuse_uneven
from .state import STATE, load_state, save_state

LOG = "log.jsonl"
"""The file in a run's folder with a line of figures for every report."""
HANG_UP = getattr(signal, "SIGHUP", None)
"""The signal of a closed terminal, which Windows has not."""


class Task(Protocol):
    """What the loop trains: a module and a loss that depends on nothing but the number of the batch."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, number: int, /) -> tuple[Tensor, dict[str, float], int]:
        """The loss of one batch, figures to report, and the number of samples in the batch."""
        ...

    def sheet(self, path: Path) -> None:
        """Draw a contact sheet of what the module can do now."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast to train."""

    steps: int
    slots: int = 1
    """Batches whose mean gradient makes a step, however many processes share them."""
    lr: float = 1e-3
    warmup: int = 100
    decay: float = 0.3
    """Last share of the run in which the learning rate falls linearly to zero."""
    clip: float = 1.0
    ema: float = 0.999
    save_every: int = 200
    report_every: int = 20
    sheet_every: int = 1000
    """0 draws no contact sheets."""
    fresh: bool = False
    """Whether the run begins with random weights, so that no earlier training counts as this model's."""

    def rate(self, step: int) -> float:
        """Learning rate at `step`: linear warm-up, constant, linear decay."""
        decay_steps = max(1, round(self.steps * self.decay))
        return self.lr * min(1.0, (step + 1) / max(1, self.warmup), max(0.0, (self.steps - step) / decay_steps))


Watch = Callable[[int, float], bool]
"""Is told after every step how many are done and the loss of the last one; true asks to end, as Ctrl-C does.

Processes that train together must all be asked to in the same step.
"""


def train(
    task: Task, config: TrainConfig, out: Path, *, say: Callable[[str], None] = print, watch: Watch | None = None
) -> dict[str, Tensor]:
    """Train until `config.steps`, resuming from `out/state.safetensors` when it exists; returns averaged weights.

    Under torchrun every process calls this alike; process 0 alone reports, writes and draws. A request to end (Ctrl-C,
    a closed terminal, or `watch`) ends the step and saves the state first; what `watch` raises ends the run as it is.
    Raises KeyboardInterrupt when it was asked to end, and ValueError when there are fewer slots than processes, or no
    multiple of these for a sharded module, when a state does not fit, or when it has more steps already.
    """
    slots, first = parallel.own_slots(config.slots), parallel.rank() == 0
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / STATE
    module = task.module
    parameters = list(module.parameters())
    whole = [p for p in parameters if not is_sharded(p)]
    if len(whole) < len(parameters):
        refuse_uneven(config.slots)
    optimizer = build_optimizer(module.named_parameters(), config.lr)
    ema = {name: p.detach().clone() for name, p in module.named_parameters()}
    step, before = 0, {"fresh": config.fresh}
    if state_path.exists():
        step, before = load_state(state_path, module, ema, optimizer)
        if step > config.steps:
            raise ValueError(
                f"{state_path} has {step} steps already, and a run of {config.steps} was asked for; ask for {step} or"
                " more, or begin another run"
            )
    parallel.agree_on_start(step, [*whole, *(mean for mean in ema.values() if not is_sharded(mean))])
    if step and first:
        say(f"resuming at step {step} of {config.steps}")
    report = Report()
    if first:
        forget_lines(out / LOG, step)
    with requests_to_end() as requests:
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step) * group["share"]
            step_loss = 0.0
            for slot in slots:
                loss, figures, samples = task.loss(parallel.batch_number(step, slot))
                (loss / config.slots).backward()
                slot_loss = float(loss.detach())
                step_loss += slot_loss / len(slots)
                report.add({"loss": slot_loss, **figures}, share=1 / config.slots, samples=samples)
            parallel.sum_gradients(whole)  # those of sharded parameters are sums already
            norm = clip_gradients(parameters, config.clip)
            if torch.isfinite(norm):
                optimizer.step()
            elif first:
                say(f"step {step}: gradient norm is {float(norm)}; the step is skipped")
            optimizer.zero_grad(set_to_none=True)
            # A short run would otherwise average in its random start.
            decay = min(config.ema, (step + 1) / (step + 10))
            means = [own(mean) for mean in ema.values()]
            torch._foreach_lerp_(means, [own(p.detach()) for p in parameters], 1 - decay)
            step += 1
            if watch is not None and watch(step, step_loss):
                requests.append(step)
            # Every process has the same norm; their shares of it add up to one.
            report.add({"norm": float(norm)}, share=1 / parallel.world())
            last = step == config.steps
            reporting = last or step % config.report_every == 0
            if reporting:
                line = json.dumps(report.take() | {"step": step, "lr": config.rate(step)})
                if first:
                    with open(out / LOG, "a", encoding="utf-8") as file:
                        file.write(line + "\n")
            if last or requests or step % config.save_every == 0:
                about = {
                    "steps": config.steps,
                    "slots": config.slots,
                    "tokens": getattr(task, "tokens", 0),
                    "fresh": before.get("fresh", False),
                }
                save_state(state_path, module, ema, optimizer, step, about)
            if reporting and first:
                say(line)  # after all is saved: a closed terminal refuses it
            # A sharded module computes in all processes or in none.
            drawing = config.sheet_every and (last or step % config.sheet_every == 0)
            if drawing and (first or len(whole) < len(parameters)):
                begun = time.perf_counter()
                with averaged(module, ema):
                    task.sheet(out / f"sheet_{step:07d}.png")
                report.started += time.perf_counter() - begun  # which is no time that samples take
            if requests:
                raise KeyboardInterrupt
    return ema


@contextmanager
def requests_to_end() -> Iterator[list[int]]:
    """A list that takes the first signal to end, so that the step it comes in is finished; a second one does not wait.

    A closed terminal is such a signal, but never a second one.
    Processes that sum their gradients end at once: one that stopped after another step would be waited for.
    """
    requests: list[int] = []
    alone = parallel.world() == 1 and threading.current_thread() is threading.main_thread()
    ends = [n for n in (signal.SIGINT, signal.SIGTERM, HANG_UP) if n is not None]
    numbers = [n for n in ends if signal.getsignal(n) is signal.default_int_handler]

    def take(number: int, _: Any) -> None:
        requests.append(number)
        give_back()
        if number == HANG_UP:
            signal.signal(number, signal.SIG_IGN)  # the shell says it, and then the system again

    def give_back() -> None:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)

    if not alone:
        yield requests
        return
    for number in numbers:
        signal.signal(number, take)
    try:
        yield requests
    finally:
        give_back()


def forget_lines(log: Path, step: int) -> None:
    """Leave out what a run logged after the step that it goes on from, and a line that a full disk cut off."""
    if log.exists():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if (logged := _logged_step(line)) is not None and logged <= step]
        if len(kept) < len(lines):
            with whole_or_absent(log) as temporary:
                temporary.write_text("".join(kept), encoding="utf-8")


def _logged_step(line: str) -> int | None:
    """The step of a line of the log; None for a line that is not whole."""
    try:
        return int(json.loads(line)["step"])
    except ValueError:
        return None


class Report:
    """Means of figures since the last line, over the batches that have them, whatever process computed them."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.started = time.perf_counter()
        self._sums: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self._samples = 0

    def add(self, figures: dict[str, float], *, share: float, samples: int = 0) -> None:
        """Count figures of a batch that makes up `share` of a step."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * share
            self._shares[name] = self._shares.get(name, 0.0) + share
        self._samples += samples

    def take(self) -> dict[str, float]:
        """The means and the samples per second; counting begins anew. All processes must call this together."""
        sums = parallel.sum_figures(self._sums | {"samples": self._samples})
        shares = parallel.sum_figures(self._shares)
        rate = sums.pop("samples") / (time.perf_counter() - self.started)
        line = {name: round(value / shares[name], 6) for name, value in sums.items()}
        self._begin()
        return line | {"samples_per_second": round(rate, 2)}


@contextmanager
def averaged(module: nn.Module, ema: dict[str, Tensor]) -> Iterator[None]:
    """Within the block the module computes with its averaged weights, as in inference."""

    def swap() -> None:
        for name, parameter in module.named_parameters():
            weight, mean = own(parameter.detach()), own(ema[name])
            held = weight.clone()
            weight.copy_(mean)
            mean.copy_(held)

    swap()
    module.eval()
    try:
        yield
    finally:
        swap()
        module.train()
