"""Measure a model against the ground truth of procedural clips, print a table and save the report.

examples:
  sora evaluate --out report.json
  sora evaluate --clips 4 --parts text speed --out first-impression.json
  sora evaluate --real FOLDER --parts vae --out real.json
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model (default: the bundled one)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the report, JSON")
    parser.add_argument("--clips", type=int, default=48, metavar="N", help="clips per score (default: 48)")
    parser.add_argument("--real", type=Path, metavar="DIR", help="a folder of real videos to compress as well")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="only these parts of the report")
    parser.add_argument("--steps", type=int, metavar="K", help="sampling steps (default: the model's own)")


def execute(arguments: argparse.Namespace) -> None:
    """Evaluate and say how to read the result."""
    if arguments.real is not None and not arguments.real.is_dir():
        raise FileNotFoundError(f"there is no folder {arguments.real}")

    from ..evaluation.evaluate import PARTS, evaluate
    from ..pipeline import DEFAULT_STEPS
    from . import say

    evaluate(
        arguments.checkpoint, arguments.out, clips=arguments.clips, real=arguments.real,
        parts=arguments.parts or PARTS, steps=DEFAULT_STEPS if arguments.steps is None else arguments.steps, say=say,
    )  # fmt: skip
    print(arguments.out)
