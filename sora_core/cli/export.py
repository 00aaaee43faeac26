"""Assemble a model file from the averaged weights of three training runs.

examples:
  sora export --vae runs/vae --text runs/text --dit runs/dit --out sora-mini.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    for part in ("vae", "text", "dit"):
        parser.add_argument(f"--{part}", type=Path, required=True, metavar="RUN", help=f"folder of the {part} training")
    parser.add_argument("--preset", default="mini", metavar="NAME", help="the family member trained (default: mini)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors file to write")


def execute(arguments: argparse.Namespace) -> None:
    """Write the file and print its path."""
    from ..training.export import export

    states = {part: getattr(arguments, part) / "state.safetensors" for part in ("vae", "text", "dit")}
    export(states["vae"], states["text"], states["dit"], arguments.preset, arguments.out)
    print(arguments.out)
