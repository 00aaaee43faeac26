"""The example clips of Sora Load Clips: `python -m sora_core.headless.example_clips` films them anew.

One toy in four situations, so that a template can train a model on it without any file of the user's.
"""

from __future__ import annotations

from pathlib import Path

from ..data.worlds.captions import Draw
from ..data.worlds.catalogue import WORLDS
from ..data.worlds.filming import film, scene_for
from ..randomness import generator
from ..text.expander import completed
from ..text.recognise import recognise
from ..video import VideoWriter
from .comfyui import PACK_ROOT

FOLDER = PACK_ROOT / "workflows" / "example_clips"
PROMPTS = (
    "a red duck floats to the right on the sea at sunset",
    "a red duck spins in the snow during the day",
    "a red duck jumps in the meadow during the day",
    "a red duck slides to the left in the studio",
)
WIDTH, HEIGHT, NUM_FRAMES, FPS = 96, 64, 17, 8.0


def write_clip(folder: Path, number: int, prompt: str) -> None:
    """Film what a prompt says as `duck_<number>.mp4`, with its caption beside it; the same number is the same clip."""
    attributes = completed(recognise(prompt), Draw(generator(number, "example", "shown")))
    draws = generator(number, "example", "sandbox")
    scene = scene_for("sandbox", draws, attributes, seconds=NUM_FRAMES / FPS)
    path = folder / f"duck_{number}.mp4"
    with VideoWriter(path, WIDTH, HEIGHT, FPS) as writer:
        for part in film(scene, NUM_FRAMES, HEIGHT, WIDTH, FPS):
            writer.write(part.frames)
    tells = generator(number, "example", "caption")
    caption = WORLDS["sandbox"].compose(scene.attributes, tells, "en", "descriptive").text
    path.with_suffix(".txt").write_text(f"{caption}\n", encoding="utf-8", newline="\n")


def write_clips(folder: Path) -> None:
    """Film all of them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, prompt in enumerate(PROMPTS, start=1):
        write_clip(folder, number, prompt)


if __name__ == "__main__":
    write_clips(FOLDER)
