"""The block that puts images and clips at times of a video: animate, first and last frame, any keyframe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from sora_core.editing.geometry import Geometry, frame_at
from sora_core.editing.place import merge, place
from sora_core.framing import unframed
from sora_core.shapes import VideoShape

from .editing_media import (
    encoder,
    expanded,
    fitted,
    fps_input,
    geometry_of,
    known_of,
    movie_input,
    region_of,
    shape_of,
    to_latent,
)
from .movie import to_frames
from .native import Latent, samples_of
from .schema import schema


class SoraPlaceFrames(io.ComfyNode):
    """Frames at a time, chainable."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraPlaceFrames",
            display_name="Sora Place Frames",
            description="Puts an image or a clip at a time of the video to be made; the rest is generated around it."
            " Chain several for first and last frames or any keyframes. For other models than Sora, pass the result"
            " through Sora Fit Model.",
            search_aliases=["image to video", "animate image", "keyframe", "first last frame"],
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of the model that will be sampled, of any video model."),
                io.Latent.Input("latent", tooltip="A noise grid, or what another Sora Place Frames gave."),
                movie_input(
                    "frames",
                    "One image, or the frames of a clip, which are placed one after another; a VIDEO keeps its speed.",
                ),
                io.Float.Input(
                    "at",
                    default=0.0,
                    min=-3600.0,
                    max=3600.0,
                    step=0.01,
                    tooltip="When the first of these frames appears, in seconds; below 0 counts from the end, -0.01 is"
                    " the last frame.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="1 keeps the frames as they are, less lets the model depart from them, 0 ignores them.",
                ),
                fps_input("the video to be made", "0 takes the rate of the latent, or 8 if it knows none."),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Where the frames are given (white); the rest of them is generated."
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For a sampler, or for more frames.")],
        )

    @classmethod
    def execute(
        cls, vae: io.Vae.Type, latent: Latent, frames: Any, at: float, strength: float, fps: float, mask: Any = None
    ) -> io.NodeOutput:
        geometry = geometry_of(vae, samples_of(latent))
        latent, shape = unresized(latent, shape_of(latent, geometry, fps), geometry)
        height, width = (side * geometry.space for side in samples_of(latent).shape[3:])
        clip = fitted(to_frames(frames, shape.fps)[0], shape.height, shape.width)
        clip = unframed(clip, shape, height, width)
        first = frame_at(at, shape.num_frames, shape.fps)
        region = region_of(mask, shape, height, width)
        placed = place(geometry, encoder(vae), clip, first, shape.num_frames, strength=strength, region=region)
        before = known_of(latent)
        placed = type(placed)(placed.clean.to(before.clean), placed.mask.to(before.clean))
        return io.NodeOutput({**latent, **to_latent(merge(before, expanded(placed, len(before.clean))), shape)})


def unresized(latent: Latent, shape: VideoShape, geometry: Geometry) -> tuple[Latent, VideoShape]:
    """A LATENT with nothing in it yet as one whose frames are not resized, so that those given lose nothing by that."""
    samples, exact = samples_of(latent), replace(shape, resized=False)
    sides = [side * geometry.space for side in samples.shape[3:]]
    if shape.area(*sides) == exact.area(*sides) or samples.any() or "noise_mask" in latent:
        return latent, shape
    size = exact.padded(geometry)
    cells = [side // geometry.space for side in (size.height, size.width)]
    return {**latent, "samples": samples.new_zeros(*samples.shape[:3], *cells)}, exact
