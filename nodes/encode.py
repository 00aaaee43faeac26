"""The block that turns a video file into a latent, a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from sora_core.pixels import to_floats
from sora_core.shapes import VideoShape
from sora_core.vae.chunks import whole_cells

from .comfy_model.vae import SoraVAE
from .editing_media import fitted, geometry_of
from .grid import LARGEST
from .movie import HELD, frames_of, interruptible, selected, shown_at, sound_in
from .native import PATCH, with_size
from .native_encode import encode_native
from .schema import advanced, schema


class SoraEncodeVideo(io.ComfyNode):
    """Encodes from a file, so that memory does not grow with the duration."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraEncodeVideo",
            display_name="Sora Encode Video",
            description="Encodes a video file into a latent, chunk by chunk with Sora's VAE; other VAEs encode it whole"
            " if memory allows, else in overlapping parts. Connect Load Video.",
            search_aliases=["vae encode", "video to latent"],
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of the model that will see the latent, of any video model."),
                io.Video.Input(
                    "video", tooltip="The video; from a file, Sora's VAE has only a few of its frames in memory."
                ),
                io.Int.Input(
                    "width", default=0, min=0, max=LARGEST, tooltip="Pixels from left to right; 0 keeps the video's."
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=LARGEST, tooltip="Pixels from top to bottom; 0 keeps the video's."
                ),
                advanced(
                    io.Int, "chunk", default=4, min=1, max=1024,
                    tooltip="Latent frames encoded at a time: fewer need less memory, and Sora's VAE makes the same"
                    " latent.",
                ),
                io.Float.Input(
                    "fps", default=0.0, min=0.0, max=240.0, step=0.1, optional=True,
                    tooltip="Frames per second of the latent: what a player shows at each moment is encoded; 0 takes"
                    " the video's own.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="It remembers the exact size and rate of the video."),
                io.Float.Output(display_name="fps", tooltip="Frames per second of the latent."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, vae: io.Vae.Type, video: Any, width: int, height: int, chunk: int, fps: float = 0.0
    ) -> io.NodeOutput:
        geometry = geometry_of(vae)
        chunks, own, total = frames_of(video, 16)
        fps = fps or own
        shown = shown_at(total, own, fps)
        seen = {"num_frames": 0}

        def resized() -> Iterator[Tensor]:
            for frames in selected(interruptible(chunks, total), shown):
                seen["num_frames"] += len(frames)
                clip = frames.movedim(-1, 0)[None]
                size = height or clip.shape[3], width or clip.shape[4]
                seen["height"], seen["width"] = size
                if clip.shape[3:] != size:
                    clip = fitted(to_floats(clip), *size)
                yield clip[0].movedim(0, -1)

        if isinstance(vae, SoraVAE):
            videos = whole_cells(resized(), vae.sora.vae.compression, chunk, patch=PATCH[1])
            samples = torch.cat(list(vae.encode_stream(videos)), dim=2)
        else:
            samples = encode_native(vae, geometry, resized(), len(shown), chunk)
        latent = with_size(samples, VideoShape(**seen, fps=fps))
        if geometry.num_frames(samples.shape[2]) > seen["num_frames"]:
            latent[HELD] = True
        return io.NodeOutput({**latent, **sound_in(video)}, fps)
