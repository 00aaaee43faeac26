"""Assemble a model file from the averaged weights of training runs.

examples:
  sora export --vae runs/vae --text runs/text --dit runs/dit --out sora-mini.safetensors
  sora export --base sora-mini.safetensors --dit runs/mine --out mine.safetensors
  sora export --base mine.safetensors --average sora-mini.safetensors --out both.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files import writable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    for part in ("vae", "text", "dit"):
        parser.add_argument(f"--{part}", type=Path, metavar="RUN", help=f"folder of the {part} training")
    parser.add_argument(
        "--base", type=Path, metavar="FILE",
        help="model file that the trainings started from (their --init); it gives the parts that were not trained",
    )  # fmt: skip
    parser.add_argument(
        "--blend", type=float, default=1.0, metavar="SHARE",
        help="share of the trained weights, the rest being those of --base; between both is often best (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-modulation", action="store_true",
        help="leave what noise levels do to all patches alike as it is in --base: trained with --drafts, it puts a"
        " faint lattice on every surface",
    )  # fmt: skip
    parser.add_argument(
        "--average", type=Path, nargs="+", metavar="FILE",
        help="model files from along the same training: the transformer becomes the mean of its own and of theirs,"
        " which is often better than any",
    )  # fmt: skip
    parser.add_argument(
        "--preset", metavar="NAME", help="the family member trained (default: that of --base, or mini)"
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors file to write")


def execute(arguments: argparse.Namespace) -> None:
    """Write the file and print its path. Raises ValueError when there is nothing to export, or nowhere to."""
    runs = {part: getattr(arguments, part) for part in ("vae", "text", "dit")}
    if not any(runs.values()) and not (arguments.base and arguments.average):
        raise ValueError(
            "no training was given to export; give the folder of a run with --vae, --text or --dit, or model files with"
            " --base and --average"
        )
    writable(arguments.out)

    from ..training.export import export
    from ..training.state import STATE

    states = {part: run / STATE for part, run in runs.items() if run is not None}
    export(
        states, arguments.preset, arguments.out, arguments.base, arguments.blend, arguments.average or (),
        arguments.keep_modulation,
    )  # fmt: skip
    print(arguments.out)
