"""The blocks that decide how large and how long the video becomes: empty latents that samplers fill with noise."""

from __future__ import annotations

import math
from typing import Any

import comfy.model_management
import torch
from comfy_api.latest import io

from sora_core.shapes import VideoShape

from .native import PATCH, Latent, compression, with_size
from .schema import chosen, schema

FREE = "width x height"
ASPECTS = {f"{w}:{h}": w / h for w, h in ((1, 1), (16, 9), (9, 16), (4, 3), (3, 4), (3, 2), (2, 3), (21, 9))}
LARGEST = 16384
"""Pixels of a side, as in ComfyUI's own blocks."""


def sized(width: int, height: int, aspect: str, step: int) -> tuple[int, int]:
    """`width` and `height` as they are, or of the same area in another aspect, on whole patches of `step` pixels."""
    if aspect == FREE:
        return width, height
    area, ratio = width * height, ASPECTS[aspect]
    return tuple(max(step, round(side / step) * step) for side in (math.sqrt(area * ratio), math.sqrt(area / ratio)))  # type: ignore[return-value]


def noise_grid(vae: Any, shape: VideoShape, batch: int) -> tuple[Latent, str]:
    """An empty LATENT for videos of `shape`, and one line on what was rounded.

    Raises ValueError above the token budget, and for a video from a VAE that only knows images.
    """
    cells = compression(vae)
    if vae.latent_dim == 2 and shape.num_frames > 1:
        raise ValueError(
            f"this VAE only knows images and cannot hold {shape.num_frames} frames: set seconds to 0 or connect a"
            " video VAE"
        )
    latent = shape.latent(cells, vae.latent_channels, PATCH)
    dims = latent.dims if vae.latent_dim == 3 else (latent.channels, latent.height, latent.width)
    samples = torch.zeros(batch, *dims, device=comfy.model_management.intermediate_device())
    what = "a still image" if shape.num_frames == 1 else f"{shape.num_frames} frames at {shape.fps:g} fps"
    note = f"{what} of {shape.width}x{shape.height}, {math.prod(latent.grid(PATCH)):,} tokens"
    rounded = shape.rounding_note(cells, PATCH)
    return with_size(samples, shape), f"{note}; {rounded}" if rounded else note


def _outputs() -> list[Any]:
    return [
        io.Latent.Output(
            display_name="latent",
            tooltip="For a sampler; it remembers the exact size, to which Sora Decode Video brings it.",
        ),
        io.String.Output(display_name="note", tooltip="The size in frames, pixels and tokens, and what was rounded."),
    ]


def _rate_and_batch() -> list[Any]:
    return [
        io.Float.Input(
            "fps",
            default=8.0,
            min=0.1,
            max=240.0,
            step=0.1,
            tooltip="Frames per second. Sora Sampler tells the model; stock samplers assume 8 unless LTXVConditioning"
            " sets another rate.",
        ),
        io.Int.Input("batch", default=1, min=1, max=64, tooltip="How many videos to make at once, each different."),
    ]


class SoraNoiseGrid(io.ComfyNode):
    """A grid in seconds, frames per second and pixels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraNoiseGrid",
            display_name="Sora Noise Grid",
            description="The size and duration of the video to make. Any size works: whole tokens of nearly its shape"
            " are generated and brought to it. 0 seconds is a still image. Works with any native VAE.",
            search_aliases=["empty latent video", "resolution", "duration"],
            inputs=[
                io.Vae.Input("vae", tooltip="Any VAE: it decides how many latent cells a video has."),
                io.Int.Input("width", default=128, min=1, max=LARGEST, tooltip="Pixels from left to right."),
                io.Int.Input("height", default=128, min=1, max=LARGEST, tooltip="Pixels from top to bottom."),
                io.Combo.Input(
                    "aspect",
                    options=[FREE, *ASPECTS],
                    default=FREE,
                    tooltip="Width to height. Anything but the first keeps the area of width x height and changes its"
                    " shape.",
                ),
                io.Float.Input(
                    "seconds",
                    default=2.0,
                    min=0.0,
                    max=3600.0,
                    step=0.05,
                    tooltip="Duration; 0 is a still image.",
                ),
                *_rate_and_batch(),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(
        cls, vae: io.Vae.Type, width: int, height: int, aspect: str, seconds: float, fps: float, batch: int
    ) -> io.NodeOutput:
        chosen("aspect", aspect, [FREE, *ASPECTS])
        width, height = sized(width, height, aspect, compression(vae).space * PATCH[1])
        shape = VideoShape.from_seconds(width=width, height=height, seconds=seconds, fps=fps, resized=True)
        return io.NodeOutput(*noise_grid(vae, shape, batch))


class SoraNoiseGridLike(io.ComfyNode):
    """A grid as large and as long as given frames."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraNoiseGridLike",
            display_name="Sora Noise Grid Like",
            description="A noise grid of the same size and number of frames as an image or a video.",
            search_aliases=["empty latent like", "match size"],
            inputs=[
                io.Vae.Input("vae", tooltip="Any VAE: it decides how many latent cells a video has."),
                io.Image.Input(
                    "frames", tooltip="The image or the frames whose size is taken; nothing else of them is used."
                ),
                *_rate_and_batch(),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(cls, vae: io.Vae.Type, frames: io.Image.Type, fps: float, batch: int) -> io.NodeOutput:
        num_frames, height, width = frames.shape[:3]
        shape = VideoShape(num_frames=num_frames, height=height, width=width, fps=fps, resized=True)
        return io.NodeOutput(*noise_grid(vae, shape, batch))
