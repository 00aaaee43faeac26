"""The blocks for seamless loops: one around the model, one for decoding."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io

from sora_core.editing.loop import CONTEXT, check_loop, loop_frames, wrapped

from .comfy_model.model import SoraModel
from .comfy_model.vae import SoraVAE
from .decode import frame_rate, one_video, since, stream_frames
from .editing_fit import check_model
from .editing_media import geometry_of, shape_of
from .editing_wrap import with_circular_time, with_rolling
from .movie import to_video
from .native import Latent, samples_of, size_of
from .schema import advanced, schema
from .unfinished import kept

CHUNK = 4
"""Latent frames of a loop decoded at a time."""


class SoraSeamlessLoop(io.ComfyNode):
    """The model that makes loops."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraSeamlessLoop",
            display_name="Sora Seamless Loop",
            description="Makes any video model generate a loop whose last frame runs into its first. A Sora model lets"
            " time run in a circle; any other sees the video from another beginning at every step, so use 20 steps or"
            " more. Decode with Sora Decode Loop.",
            search_aliases=["infinite loop", "cinemagraph", "perfect loop"],
            inputs=[
                io.Model.Input("model", tooltip="Any video model."),
                io.Latent.Input("latent", tooltip="The grid to fill, at least two latent frames long."),
                advanced(
                    io.Int,
                    "stride",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Latent frames by which the beginning moves at each step, for models other than Sora.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For the sampler."),
                io.Latent.Output(display_name="latent", tooltip="The grid, for the sampler."),
            ],
        )

    @classmethod
    def execute(cls, model: io.Model.Type, latent: Latent, stride: int) -> io.NodeOutput:
        samples = samples_of(latent)
        if samples.ndim != 5:
            raise ValueError("a loop needs a video latent; this one is an image's: set seconds above 0")
        check_loop(samples.shape[2])
        if samples.count_nonzero():  # samplers give an empty grid the model's channels
            check_model(model, samples)
        if isinstance(model.model, SoraModel):
            return io.NodeOutput(with_circular_time(model), latent)
        if stride % samples.shape[2] == 0:
            raise ValueError(
                f"the stride is {stride} and the loop has {samples.shape[2]} latent frames, so that it would begin with"
                " the same one at every step: give another stride, for instance 1"
            )
        return io.NodeOutput(with_rolling(model, stride), latent)


class SoraDecodeLoop(io.ComfyNode):
    """The decoder that closes the loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraDecodeLoop",
            display_name="Sora Decode Loop",
            description="Decodes the latent of a loop so that its first frame follows its last like any frame the one"
            " before it. Every latent frame gives the same number of frames.",
            search_aliases=["vae decode loop", "circular decode"],
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE that belongs to the latent, of any video model."),
                io.Latent.Input("latent", tooltip="What was sampled with the model of Sora Seamless Loop."),
                io.Int.Input(
                    "repeats", default=1, min=1, max=64, tooltip="How often the loop runs in the video that comes out."
                ),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.1,
                    tooltip="Frames per second of the video; 0 takes the rate of the noise grid.",
                ),
                advanced(
                    io.Int,
                    "context",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="Latent frames decoded again before the first, so that nothing remembers a beginning; 0"
                    " takes what Sora's decoder needs exactly, and 2 for others.",
                ),
                io.Int.Input(
                    "batch_index", default=0, min=0, max=4095, tooltip="Which video of a batch to decode, from 0."
                ),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The loop, for Save Video."),
                io.Image.Output(display_name="frames", tooltip="One round of the loop as images."),
            ],
        )

    @classmethod
    def execute(
        cls, vae: io.Vae.Type, latent: Latent, repeats: int, fps: float, context: int, batch_index: int
    ) -> io.NodeOutput:
        geometry = geometry_of(vae)
        rate = frame_rate(fps, size_of(latent))
        shape = shape_of(latent, geometry, rate)
        video = one_video(samples_of(latent), batch_index)
        check_loop(video.shape[2])  # before the latent is kept for the user to decode again
        context = context or (vae.first_stage_model.context if isinstance(vae, SoraVAE) else CONTEXT)
        with kept(video):
            shown = loop_frames(geometry, video.shape[2], context)
            chunks = stream_frames(vae, wrapped(video, context), replace(shape, num_frames=shown.stop), CHUNK)
            frames = torch.cat(list(since(chunks, shown.start)))
            return io.NodeOutput(to_video(frames, rate, repeats), frames)
