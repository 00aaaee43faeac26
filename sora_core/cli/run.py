"""Run a ComfyUI workflow without a browser, in a real ComfyUI; fails unless every part of it happened.

examples:
  sora run workflows/text_to_video.json
  sora run workflows/text_to_video.json --output clips --set "SoraTextEncode.prompt=a green duck"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("workflow", type=Path, metavar="WORKFLOW.json", help="in the browser's format or API format")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="(default: output)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="change a widget; can be repeated"
    )
    parser.add_argument("--timeout", type=float, default=3600, metavar="S", help="seconds (default: 3600)")


def widgets(assignments: list[str]) -> dict[str, Any]:
    """`NODE.INPUT=VALUE` texts as a mapping; values are JSON where they can be, else text."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or "." not in name:
            raise ValueError(f"--set {assignment!r} is no assignment; write NODE.INPUT=VALUE")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def execute(arguments: argparse.Namespace) -> None:
    """Start a ComfyUI, run the workflow and print the files that it saved."""
    inputs = widgets(arguments.set)
    if not arguments.workflow.is_file():
        raise FileNotFoundError(f"there is no workflow {arguments.workflow}")
    try:
        from ..headless.runner import run_workflow
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"{error.name} is not installed; `make setup` in the repository installs all that a ComfyUI needs in .venv:"
            " run .venv/bin/sora then"
        ) from None

    from tqdm import tqdm

    from ..headless.workflow import WorkflowError

    with tqdm(desc="starting ComfyUI", unit="step", leave=False) as bar:

        def progress(node: str, done: int, total: int) -> None:
            bar.set_description(node, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        try:
            result = run_workflow(
                arguments.workflow, output=arguments.output.resolve(), inputs=inputs, timeout=arguments.timeout,
                on_progress=progress,
            )  # fmt: skip
        except WorkflowError as error:
            if error.kind == "file":
                raise ValueError(error) from error
            raise
    print(*result.files, sep="\n")
