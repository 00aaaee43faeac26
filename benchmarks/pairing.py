"""Paired measurement: contestants take turns on one thread, and what is compared is CPU time within the same turn."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from torch import nn

Contestants = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a figure over the turns."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:6.3f}  ({self.low:.3f} - {self.high:.3f})"


def spread(values: Sequence[float]) -> Spread:
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return Spread(low, median(values), high)


def turns(contestants: Contestants, count: int) -> dict[str, list[float]]:
    """CPU seconds of each contestant in each of `count` turns, after one turn that nobody counts."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    with torch.inference_mode():
        for turn in range(count + 1):
            # Whoever is first finds other caches than whoever is last: start elsewhere each time.
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                start = time.process_time()
                contestants[name]()
                if turn:
                    seconds[name].append(time.process_time() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> Spread:
    """How much of their time ours takes, turn by turn; below 1 ours is faster."""
    return spread([a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)])


def settle() -> None:
    """One thread, and an allocator in the state of a process that has run for a while: the same for everybody."""
    torch.set_num_threads(1)
    torch.empty(31 << 20, dtype=torch.uint8)


def randomised(network: nn.Module) -> nn.Module:
    """Small random weights: uninitialised memory can hold numbers that processors are slow with."""
    generator = torch.Generator().manual_seed(0)
    for value in (*network.parameters(), *network.buffers()):
        if value.is_floating_point():
            nn.init.normal_(value.data, std=0.02, generator=generator)
    return network.eval().requires_grad_(False)


@contextmanager
def absent_is_fine(name: str, reasons: tuple[type[Exception], ...] = (ImportError,)) -> Iterator[None]:
    """Skip a peer that is not installed, with a line that says so."""
    try:
        yield
    except reasons as error:
        print(f"skipped {name}: {error}")


def machine() -> str:
    """One line about what was measured on, and how busy it was before."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{processor}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} processors, 1 thread,"
        f" torch {torch.__version__}, float32, eager, CPU time{load}"
    )
