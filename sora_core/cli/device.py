"""The --device of every command that computes: a graphics card where PyTorch sees one, else the processor."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Declare where to compute."""
    parser.add_argument(
        "--device", metavar="NAME",
        help="where to compute: cpu, cuda, cuda:1, mps, ... (default: a graphics card if PyTorch sees one, else cpu)",
    )  # fmt: skip


def chosen_device(name: str | None, process: int | None = None) -> torch.device:
    """The device of that name, or the default; with its number, one of several processes takes the card of that number.

    Raises ValueError for a device that is not there, naming those that are, and for a numbered one with a `process`.
    """
    import torch

    there = devices_there()
    wanted = name or there[-1].partition(":")[0]
    if wanted == "cpu":
        return torch.device("cpu")
    if process is not None and ":" in wanted:
        kind = wanted.partition(":")[0]
        raise ValueError(f"--device is {wanted}, but each process of torchrun takes a card of its own; give {kind}")
    numbered = wanted if ":" in wanted else f"{wanted}:{process or 0}"
    if numbered not in there:
        missing = wanted if process is None else numbered
        raise ValueError(f"--device is {missing}, but PyTorch sees {', '.join(there)} here; choose one of these")
    return torch.device(numbered)


def devices_there() -> list[str]:
    """The names of all devices that PyTorch sees, cards last."""
    import torch

    card = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    cards = [] if card is None else [f"{card.type}:{i}" for i in range(torch.accelerator.device_count())]
    return ["cpu", *cards]
