"""The block that turns a video file into a latent, a few frames at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import InputImpl, io
from torch import Tensor

from sora_core.shapes import VideoShape
from sora_core.vae.chunks import whole_cells
from sora_core.video import VideoReader

from .comfy_model.vae import SoraVAE
from .editing_media import fitted, geometry_of
from .grid import LARGEST
from .native import PATCH, with_size
from .native_encode import encode_native
from .schema import advanced, schema

SOUND = "sora_sound"
"""Key of a LATENT under which the file travels whose sound the decoder copies beside the frames made from it."""


def file_of(video: Any) -> str | None:
    """The file of a VIDEO that is all of it, neither trimmed nor made by other blocks in memory."""
    source = video.get_stream_source() if isinstance(video, InputImpl.VideoFromFile) else None
    if isinstance(source, str) and abs(InputImpl.VideoFromFile(source).get_duration() - video.get_duration()) < 1e-3:
        return source
    return None


def frames_of(video: Any, chunk: int) -> tuple[Iterator[Tensor], float, int]:
    """Chunks of frames `t h w 3` of a VIDEO, its rate and their number; from its file if that is not trimmed."""
    source = file_of(video)
    if source is not None:
        reader = VideoReader(source, chunk=chunk)
        if reader.note:
            logging.info("Sora: %s: %s", reader.path.name, reader.note)
        return iter(reader), reader.fps, reader.num_frames
    components = video.get_components()
    return iter(components.images[..., :3].split(chunk)), float(components.frame_rate), len(components.images)


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
                io.Video.Input("video", tooltip="The video; from a file, only a few of its frames are in memory."),
                io.Int.Input(
                    "width", default=0, min=0, max=LARGEST, tooltip="Pixels from left to right; 0 keeps the video's."
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=LARGEST, tooltip="Pixels from top to bottom; 0 keeps the video's."
                ),
                advanced(
                    io.Int, "chunk", default=4, min=1, max=1024,
                    tooltip="Latent frames encoded at a time: fewer need less memory, the latent is the same.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="It remembers the exact size and rate of the video."),
                io.Float.Output(display_name="fps", tooltip="Frames per second of the video."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, vae: io.Vae.Type, video: Any, width: int, height: int, chunk: int) -> io.NodeOutput:
        geometry = geometry_of(vae)
        chunks, fps, total = frames_of(video, 16)
        seen = {"num_frames": 0}

        def resized() -> Iterator[Tensor]:
            for frames in chunks:
                comfy.model_management.throw_exception_if_processing_interrupted()
                seen["num_frames"] += len(frames)
                clip = frames.movedim(-1, 0)[None]
                size = height or clip.shape[3], width or clip.shape[4]
                seen["height"], seen["width"] = size
                if clip.shape[3:] != size:
                    clip = fitted(clip.float() / (255 if clip.dtype == torch.uint8 else 1), *size)
                yield clip[0].movedim(0, -1)

        if isinstance(vae, SoraVAE):
            videos = whole_cells(resized(), vae.sora.vae.compression, chunk, patch=PATCH[1])
            samples = torch.cat(list(vae.encode_stream(videos)), dim=2)
        else:
            samples = encode_native(vae, geometry, resized(), total, chunk)
        latent = with_size(samples, VideoShape(**seen, fps=fps))
        source = file_of(video)
        return io.NodeOutput(latent if source is None else {**latent, SOUND: source}, fps)
