"""The block that changes what a video shows: SDEdit with a strength that may change over time."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import torch
from comfy_api.latest import io
from torch import Tensor

from sora_core.editing.place import check_channels, held
from sora_core.editing.preview import enlarge
from sora_core.editing.sdedit import level, sdedit, strengths
from sora_core.shapes import VideoShape

from .comfy_model.model import SoraModel
from .editing_media import (
    encoder,
    fps_input,
    geometry_of,
    known_of,
    movie_input,
    region_of,
    shape_of,
    sound_of,
    to_latent,
)
from .editing_wrap import with_strengths
from .movie import HELD, to_frames
from .native import Latent, check_made, index_of, samples_of
from .sample import noise_levels
from .sampling_inputs import steps_input
from .schema import schema


def levels_from(model: Any, samples: Tensor, steps: int, strength: float) -> Tensor:
    """`steps` noise levels from a strength down: Sora's own, or those that BasicScheduler's denoise would give."""
    if isinstance(model.model, SoraModel):
        return noise_levels(model, samples, steps, level_of(model, strength))
    sampling = model.get_model_object("model_sampling")
    levels = comfy.samplers.calculate_sigmas(sampling, "simple", max(steps, round(steps / strength)))[-(steps + 1) :]
    return torch.unique_consecutive(levels)  # at low strengths there are fewer levels in the table than steps


def level_of(model: Any, strength: float) -> float:
    """The noise level at which editing at a strength begins."""
    if isinstance(model.model, SoraModel):
        return float(level(torch.tensor(strength)))
    return float(model.get_model_object("model_sampling").percent_to_sigma(1 - strength))


class SoraEditVideo(io.ComfyNode):
    """Another style or world for a given video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        strength = {"default": 0.6, "min": 0.0, "max": 1.0, "step": 0.01}
        return schema(
            node_id="SoraEditVideo",
            display_name="Sora Edit Video",
            description="Prepares a video to be made again under another prompt: its style, its light, its world."
            " Connect all three outputs to a sampler that takes sigmas. With a larger size it finishes a preview.",
            search_aliases=["video to video", "sdedit", "style transfer", "upscale", "preview to final"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled, any video model."),
                io.Vae.Input("vae", tooltip="The VAE that belongs to it."),
                movie_input(
                    "video",
                    "The video to edit; a sampled LATENT is not encoded again, and what its noise mask keeps, also of"
                    " frames that were placed before sampling, does not change.",
                    io.Latent,
                ),
                io.Float.Input(
                    "strength_start", **strength,
                    tooltip="How much the first frame may change: 0 keeps it, 1 keeps nothing of it.",
                ),
                io.Float.Input(
                    "strength_end", **strength,
                    tooltip="How much the last frame may change; frames between lie between the two.",
                ),
                steps_input(),
                io.Int.Input(
                    "width", default=0, min=0, max=16384,
                    tooltip="Make the video this wide first, to finish a small preview at a larger size; 0 follows the"
                    " height, or keeps the size if both are 0. The shape may change by at most a tenth.",
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=16384,
                    tooltip="Make the video this high first; 0 follows the width, or keeps the size if both are 0.",
                ),
                fps_input(),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="Where the video may change (white); the rest stays. One mask, or one for each frame.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model, told how much each frame may change."),
                io.Latent.Output(display_name="latent", tooltip="The video to start from."),
                io.Sigmas.Output(display_name="sigmas", tooltip="Noise levels that begin at the higher strength."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: io.Model.Type, vae: io.Vae.Type, video: Any, strength_start: float, strength_end: float,
        steps: int, width: int, height: int, fps: float, mask: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        latent, shape = clean_latent(vae, video, width, height, fps)
        geometry = geometry_of(vae, latent)
        enlarged = bool(width or height)
        sides = [side * geometry.space for side in latent.shape[3:]]
        region = region_of(mask, shape, *sides, shape.num_frames, stretched=enlarged)
        known = sdedit(geometry, latent, strengths(strength_start, strength_end, latent.shape[2]), region)
        highest = max(strength_start, strength_end)
        missing = geometry.num_frames(latent.shape[2]) - shape.num_frames
        if isinstance(video, dict):
            known = type(known)(known.clean, known.mask * known_of(video).mask)
        about = {**sound_of(video, shape.fps), **held_of(video, missing), **index_of(video)}
        if highest == 0:
            return io.NodeOutput(model, {**to_latent(known, shape), **about}, torch.zeros(0))
        result = {**to_latent(type(known)(known.clean, known.mask / highest), shape), **about}
        if bool((result["noise_mask"] == 1).all()):
            del result["noise_mask"]
        else:
            model = with_strengths(model, highest, lambda strength: level_of(model, strength))
        return io.NodeOutput(model, result, levels_from(model, latent, steps, highest))


def held_of(video: Any, missing: int) -> Latent:
    """Whether the last latent frame of a video's edit holds so many frames that the video does not have."""
    return {HELD: True} if (video.get(HELD) if isinstance(video, dict) else missing > 0) else {}


def clean_latent(vae: Any, video: Any, width: int, height: int, fps: float) -> tuple[Tensor, VideoShape]:
    """The latent `b c t h w` of a video of any kind, enlarged if wished, and the shape of its frames.

    Raises ValueError when a LATENT is to be enlarged, it is empty, or its channels are not the VAE's.
    """
    geometry = geometry_of(vae)
    if isinstance(video, dict):
        if width or height:
            raise ValueError(
                "a latent cannot be enlarged; decode it and connect its frames, or set width and height to 0"
            )
        shape = shape_of(video, geometry, fps)
        check_channels(geometry, samples_of(video))
        check_made(samples_of(video))
        return samples_of(video).float(), shape
    frames, rate = to_frames(video, fps)
    count, rows, columns = frames.shape[2:]
    if width or height:
        frames = enlarge(frames, height or round(width * rows / columns), width or round(height * columns / rows))
    shape = VideoShape(num_frames=count, height=frames.shape[3], width=frames.shape[4], fps=rate)
    frames = geometry.pad(held(frames, 0, geometry.num_frames(geometry.latent_frames(count))))
    return encoder(vae)(frames), shape
