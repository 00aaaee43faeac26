"""Say what a model file holds, after checking every weight in it, or what a family member needs to be trained.

examples:
  sora info
  sora info sora-mini.safetensors
  sora info --preset XL
"""

from __future__ import annotations

import argparse
from pathlib import Path

TRAINED = 16
"""Bytes that training holds for a parameter: the weight, its gradient, its average and its momentum, in float32."""
FROZEN = 4
CARDS = (1, 2, 4, 8, 16, 32, 64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help="(default: the bundled one)")
    parser.add_argument(
        "--preset", metavar="NAME", help="instead: size of nano, mini, S, B, L, XL or XXL and memory of its training"
    )


def execute(arguments: argparse.Namespace) -> None:
    """Print a file's configuration and sizes, or a family member's. Raises ValueError when both are asked for."""
    if arguments.preset is None:
        describe_file(arguments.checkpoint)
    elif arguments.checkpoint is None:
        describe_preset(arguments.preset)
    else:
        raise ValueError(f"--preset {arguments.preset} does nothing with {arguments.checkpoint}; leave one out")


def describe_file(checkpoint: Path | None) -> None:
    """Print a file's configuration and sizes."""
    import dataclasses
    import json

    from ..checkpoint import BUNDLED, read_checkpoint

    path = checkpoint or BUNDLED
    found = read_checkpoint(path)
    cell = found.config.vae.compression
    print(f"{path}\n{path.stat().st_size / 1e6:.1f} MB, preset {found.config.name}")
    print(f"one latent cell: {cell.time} frames, {cell.space}x{cell.space} pixels, {found.config.vae.channels}"
          " channels")  # fmt: skip
    for part, weights in found.parts.items():
        kinds = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in weights.values()}))
        print(f"\n{part}: {sum(value.numel() for value in weights.values()):,} parameters, {kinds}")
        for name, value in dataclasses.asdict(getattr(found.config, part)).items():
            print(f"  {name}: {value}")
    about = json.loads(found.metadata.get("about") or "{}")
    if about:
        print("\n" + "\n".join(f"{name}: {value}" for name, value in about.items()))


def describe_preset(name: str) -> None:
    """Print the parameters of a family member, and what training its transformer needs on each of so many cards."""
    from ..checkpoint import build_parts
    from ..config import preset

    modules = build_parts(preset(name), device="meta")
    counts = {part: sum(p.numel() for p in module.parameters()) for part, module in modules.items()}
    for part, count in counts.items():
        print(f"{part}: {count:,} parameters")
    inside = sum(p.numel() for p in modules["dit"].get_submodule("blocks").parameters())
    everywhere = TRAINED * (counts["dit"] - inside) + FROZEN * (counts["vae"] + counts["text"])
    share = 100 * inside / counts["dit"]
    print(f"\nsora train dit --shard divides {share:.0f} % of the transformer; on each card, beside activations:")
    for cards in CARDS:
        print(f"{cards:>4} card{'s' if cards > 1 else ' '} {(everywhere + TRAINED * inside / cards) / 1e9:>8.1f} GB")
