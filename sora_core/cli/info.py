"""Say what a model file holds, after checking every weight in it.

examples:
  sora info
  sora info sora-mini.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help="(default: the bundled one)")


def execute(arguments: argparse.Namespace) -> None:
    """Print the file's configuration and sizes."""
    import dataclasses
    import json

    from ..checkpoint import BUNDLED, read_checkpoint

    path = arguments.checkpoint or BUNDLED
    checkpoint = read_checkpoint(path)
    cell = checkpoint.config.vae.compression
    print(f"{path}\n{path.stat().st_size / 1e6:.1f} MB, preset {checkpoint.config.name}")
    print(f"one latent cell: {cell.time} frames, {cell.space}x{cell.space} pixels, {checkpoint.config.vae.channels}"
          " channels")  # fmt: skip
    for part, weights in checkpoint.parts.items():
        kinds = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in weights.values()}))
        print(f"\n{part}: {sum(value.numel() for value in weights.values()):,} parameters, {kinds}")
        for name, value in dataclasses.asdict(getattr(checkpoint.config, part)).items():
            print(f"  {name}: {value}")
    about = json.loads(checkpoint.metadata.get("about") or "{}")
    if about:
        print("\n" + "\n".join(f"{name}: {value}" for name, value in about.items()))
