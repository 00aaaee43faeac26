"""Thumbnails of the workflow templates: each is run in a real ComfyUI with the bundled model, and its result drawn.

`python -m sora_core.headless.thumbnails` remakes them all; workflow names as arguments remake those alone.
"""

import sys
from pathlib import Path

import torch
from PIL import Image

from ..video import IMAGES, VideoReader
from .comfyui import PACK_ROOT
from .runner import run_workflow
from .server import comfy_server

WIDTH, HEIGHT = 384, 256
NEEDS_A_BIG_MODEL = ("wan_", "ltx_", "hunyuan_")
"""Templates for models that users bring have the thumbnail of their twin that runs on the bundled one."""
TWINS = {
    "wan_seamless_loop": "seamless_loop",
    "ltx_extend": "extend_forward_backward",
    "hunyuan_connect": "connect_two_videos",
}


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
    """Runs the workflows and writes `workflows/<name>.jpg`; returns 1 if any workflow failed."""
    folder = PACK_ROOT / "workflows"
    chosen = sys.argv[1:] or sorted(path.stem for path in folder.glob("*.json"))
    failed = []
    with comfy_server(output=PACK_ROOT / "output") as server:
        for name in chosen:
            if name.startswith(NEEDS_A_BIG_MODEL):
                continue
            try:
                result = run_workflow(folder / f"{name}.json", server=server)
            except RuntimeError as error:
                failed.append(name)
                print(f"{name}: {error}", file=sys.stderr)
                continue
            thumbnail(result.files[:3]).save(folder / f"{name}.jpg", quality=88)
            print(f"{name}.jpg: {result.seconds:.0f} s")
    for name, twin in TWINS.items():
        if (folder / f"{twin}.jpg").exists():
            Image.open(folder / f"{twin}.jpg").save(folder / f"{name}.jpg", quality=88)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
