"""Pictures of what the bundled model makes: thumbnails of templates, examples on help pages, the README's screenshots.

`python -m sora_core.headless.thumbnails` runs everything in a real ComfyUI and remakes all of them; names of workflows
or blocks, or "page" for the screenshots, as arguments remake those alone.
"""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from ..evaluation import gallery
from ..video import IMAGES, VideoReader
from .comfyui import PACK_ROOT
from .example_pictures import EXAMPLES, Example, save_picture
from .page_pictures import page_pictures
from .runner import run_workflow
from .server import comfy_server

WORKFLOWS = PACK_ROOT / "workflows"
MEDIA = PACK_ROOT / "web" / "docs" / "media"
WIDTH, HEIGHT = 384, 256
TWINS = {
    "wan_keyframes": "first_last_keyframes",
    "wan_seamless_loop": "seamless_loop",
    "ltx_extend": "extend_forward_backward",
    "hunyuan_connect": "connect_two_videos",
}
"""Templates for models that users bring have the thumbnail of their twin that runs on the bundled one."""


def moments(path: Path, count: int = 3) -> list[Image.Image]:
    """An image, or `count` evenly spaced frames of a video."""
    if path.suffix.lower() in IMAGES:
        return [Image.open(path).convert("RGB")]
    with VideoReader(path) as reader:
        frames = torch.cat(list(reader))
    picks = torch.linspace(0, len(frames) - 1, count).round().long()
    return [Image.fromarray(frames[i].numpy()) for i in picks.tolist()]


def thumbnail(files: list[Path]) -> Image.Image:
    """One picture of a workflow's results: their frames in rows, fitted into the thumbnail."""
    rows = [moments(path) for path in files]
    columns = max(len(row) for row in rows)
    if columns == 1:
        rows, columns = [[row[0] for row in rows]], len(rows)
    width, height = WIDTH // columns, HEIGHT // len(rows)
    sheet = Image.new("RGB", (WIDTH, HEIGHT), "#1b1b1f")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            scale = min(width / picture.width, height / picture.height)
            fitted = picture.resize(
                (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
            )
            sheet.paste(fitted, (x * width + (width - fitted.width) // 2, y * height + (height - fitted.height) // 2))
    return sheet


def main() -> int:
    """Makes the pictures of the chosen workflows and blocks, or all; returns 1 if any workflow failed."""
    chosen = set(sys.argv[1:])
    failed = 0
    with comfy_server(output=PACK_ROOT / "output") as server:
        for run, pictures in jobs(chosen):
            try:
                for inputs in (run.inputs, *run.then):
                    result = run_workflow(WORKFLOWS / "api" / f"{run.workflow}.json", server=server, inputs=inputs)
            except RuntimeError as error:
                failed += 1
                print(f"{run.workflow}: {error}", file=sys.stderr)
                continue
            for path, draw in pictures:
                draw(result.files, path)
                report(path, result.seconds)
        if not chosen or "page" in chosen:
            try:
                for path in page_pictures(server):
                    report(path, 0)
            except (RuntimeError, ImportError) as error:
                failed += 1
                print(f"the page: {error}", file=sys.stderr)
    for name, twin in TWINS.items():
        if not chosen or name in chosen:
            shutil.copy(WORKFLOWS / f"{twin}.jpg", WORKFLOWS / f"{name}.jpg")
    if not chosen:
        with chdir(PACK_ROOT):
            gallery.main()
    return 1 if failed else 0


def report(path: Path, seconds: float) -> None:
    """Says which picture was made, how long its run took and how large the file is."""
    print(f"{path.relative_to(PACK_ROOT)}: {seconds:.0f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)


Drawing = tuple[Path, Callable[[list[Path], Path], None]]
"""A file, and what draws a workflow's results into it."""


def jobs(chosen: set[str]) -> list[tuple[Example, list[Drawing]]]:
    """The runs that the chosen pictures need, each once, with the pictures that are drawn from it."""
    names = sorted(path.stem for path in WORKFLOWS.glob("*.json") if path.stem not in TWINS)
    whole_runs = {example.workflow: example for example in EXAMPLES.values() if example.then}
    found: dict[str, tuple[Example, list[Drawing]]] = {}

    def add(example: Example, path: Path, draw: Callable[[list[Path], Path], None]) -> None:
        key = json.dumps([example.workflow, example.inputs, example.then])
        found.setdefault(key, (example, []))[1].append((path, draw))

    for name in names:
        if not chosen or name in chosen:
            add(whole_runs.get(name, Example(name)), WORKFLOWS / f"{name}.jpg", save_thumbnail)
    for block, example in EXAMPLES.items():
        if not chosen or block in chosen:
            add(example, MEDIA / f"{block}.webp", partial(save_example, example))
    return list(found.values())


def save_example(example: Example, files: list[Path], path: Path) -> None:
    """Draws the results that an example shows."""
    save_picture([files[i] for i in example.files], path)


def save_thumbnail(files: list[Path], path: Path) -> None:
    """Draws the first results of a workflow for the template browser."""
    thumbnail(files[:3]).save(path, quality=88)


if __name__ == "__main__":
    sys.exit(main())
