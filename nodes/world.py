"""The block that films one of the bundled worlds: a real clip without any file, and what is true of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import InputImpl, io
from torch import Tensor

from sora_core.randomness import generator
from sora_core.shapes import VideoShape

from .describe import LANGUAGES
from .movie import played, temporary_file, write
from .sampling_inputs import seed_input
from .schema import advanced, chosen, schema

if TYPE_CHECKING:
    from sora_core.text.recognise import Reading

TOYS = "toys"
WORLDS = {TOYS: "sandbox", "painter": "painter", "arcade": "arcade"}
"""The worlds by the names that users choose."""
LARGEST = 2048
"""Pixels of a side: drawing one frame of 2048x2048 takes a GB."""
MOST_PIXELS = 2**27
"""Pixels of all frames: mask and depth, of four bytes each, are then a GB."""
CELL = 4
"""Frames of a latent frame of Sora's VAE."""
FILE: dict[str, Any] = {"crf": 4, "pixel_format": "yuv444p"}
"""Colours at half resolution alone would leave 35 dB of a clip of 128x128, which is what compression networks do."""


def shape_for(width: int, height: int, seconds: float, fps: float, loop: bool) -> VideoShape:
    """The size of a clip; loops are rounded up to whole latent frames. Raises ValueError above `MOST_PIXELS`."""
    shape = VideoShape.from_seconds(width=width, height=height, seconds=seconds, fps=fps)
    if loop and shape.num_frames % CELL:
        shape = replace(shape, num_frames=math.ceil(shape.num_frames / CELL) * CELL)
        logging.info("Sora: the loop has %d frames, which is a whole number of latent frames", shape.num_frames)
    pixels = shape.num_frames * width * height
    if pixels > MOST_PIXELS:
        frames = MOST_PIXELS // (width * height)
        most = math.floor(10 * (frames - frames % CELL if loop else frames) / fps) / 10
        raise ValueError(
            f"{shape.num_frames} frames of {width}x{height} are {pixels / 1e6:.0f} million pixels, and mask and depth"
            f" of at most {MOST_PIXELS / 1e6:.0f} million are kept in memory; give at most {most:g} seconds, or a"
            " smaller size"
        )
    return shape


def named(world: str, prompt: str) -> Reading:
    """What a prompt names of the toys' world. Raises ValueError if that is nothing, and for a prompt of another world.

    An empty prompt names nothing and is always right.
    """
    from sora_core.data.worlds.attributes import SUBJECTS
    from sora_core.text.recognise import read

    known = read(prompt)
    if not known.text:
        return known
    said = " ".join(prompt.split())[:60]
    if world != TOYS:
        raise ValueError(f'only the seed draws the {world} world; empty the prompt "{said}", or choose toys')
    if not (known.mentions or known.refused):
        raise ValueError(
            f'the prompt "{said}" names no toy, colour, place, light, motion or camera move that this world has; name a'
            f" toy ({', '.join(SUBJECTS)}), or leave the prompt empty"
        )
    return known


def near_to_far(nearness: Tensor) -> Tensor:
    """An IMAGE `t h w 3` of nearness `t h w`: white at the nearest point of the whole clip, half as bright twice as
    far away, black in the sky."""
    scaled = nearness.div_(nearness.max().clamp(min=1e-6))
    return scaled[..., None].expand(-1, -1, -1, 3)


class SoraWorldClips(io.ComfyNode):
    """A rendered clip with its ground truth."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraWorldClips",
            display_name="Sora World Clip",
            description="Films one of the small worlds that Sora Mini learnt from, so that a workflow can begin with a"
            " real clip and no file: with its caption, a mask of its subject and its depth.",
            search_aliases=["test clip", "example video", "ground truth", "depth", "mask", "procedural"],
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "world", options=list(WORLDS), default=TOYS,
                    tooltip="toys: a toy in a landscape, in three dimensions; painter: a brush paints or food is eaten;"
                    " arcade: a small game is played.",
                ),
                io.String.Input(
                    "prompt", multiline=True, dynamic_prompts=True, default="",
                    tooltip="For toys: what it names in English or Chinese is shown, and the seed draws the rest. Empty"
                    " for the other worlds.",
                ),
                io.Int.Input("width", default=128, min=16, max=LARGEST, tooltip="Pixels from left to right."),
                io.Int.Input("height", default=128, min=16, max=LARGEST, tooltip="Pixels from top to bottom."),
                io.Float.Input(
                    "seconds", default=2.0, min=0.0, max=3600.0, step=0.05, tooltip="Duration; 0 is a single frame."
                ),
                io.Float.Input("fps", default=8.0, min=0.1, max=240.0, step=0.1, tooltip="Frames per second."),
                seed_input("Another seed is another clip; the same seed is the same clip."),
                advanced(
                    io.Boolean, "loop", default=False,
                    tooltip=f"For toys: the last frame runs into the first. Rounded up to a multiple of {CELL} frames,"
                    " which are whole latent frames.",
                ),
                advanced(
                    io.Combo, "language", options=list(LANGUAGES), default="English", tooltip="Of the caption."
                ),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The clip on file, with colours at full resolution."),
                io.String.Output(display_name="caption", tooltip="What the clip shows, in all detail."),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="One for each frame: 1 where the main toy, the paint or what was eaten is seen; 0"
                    " everywhere in arcade.",
                ),
                io.Image.Output(
                    display_name="depth",
                    tooltip="White at the nearest point of the whole clip, half as bright twice as far away, black in"
                    " the sky; black everywhere in painter and arcade, which are flat.",
                ),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, world: str, prompt: str, width: int, height: int, seconds: float, fps: float, seed: int,
        loop: bool = False, language: str = "English",
    ) -> io.NodeOutput:  # fmt: skip
        from sora_core.data.worlds.captions import Draw
        from sora_core.data.worlds.catalogue import WORLDS as CATALOGUE
        from sora_core.data.worlds.filming import film, scene_for
        from sora_core.text.expander import completed

        kind = WORLDS[chosen("world", world, WORLDS)]
        words = LANGUAGES[chosen("language", language, LANGUAGES)]
        known = named(world, prompt)
        shape = shape_for(width, height, seconds, fps, loop)
        size = shape.num_frames, height, width
        attributes = None
        if world == TOYS:
            shown = Draw(generator(seed, "world", "shown"))
            attributes = completed(known.attributes, shown, known.refused)
        draws = generator(seed, "world", kind)
        scene = scene_for(kind, draws, attributes, seconds=shape.num_frames / fps, loop=loop)
        mask, nearness = torch.zeros(size), torch.zeros(size)

        def frames() -> Iterator[Tensor]:
            done = 0
            for part in film(scene, *size, fps):
                now = slice(done, done + len(part.frames))
                mask[now], nearness[now], done = part.mask, part.nearness, now.stop
                yield part.frames

        path = temporary_file()
        write(path, frames(), fps, shape.num_frames, **FILE)
        tells = generator(seed, "world", "caption")
        caption = CATALOGUE[kind].compose(scene.attributes, tells, words, "descriptive").text
        logging.info("Sora: %s", caption)
        video = InputImpl.VideoFromFile(str(path))
        return io.NodeOutput(video, caption, mask, near_to_far(nearness), ui=played(path))
