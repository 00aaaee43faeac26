"""The blocks that lead from one video or one prompt to the next: connections and prompt timelines."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from sora_core.editing.connect import CURVES, blend, bridge
from sora_core.editing.timed import timeline_weights
from sora_core.shapes import VideoShape
from sora_core.text.timeline import parse

from .editing_media import (
    COURSE,
    MOVIES_RATE,
    encoder,
    fps_input,
    geometry_of,
    movie_input,
    shape_of,
    to_latent,
)
from .movie import frames_within, pair_of_frames
from .native import Latent
from .prompt import encoded
from .sample import check_mask
from .schema import advanced, chosen, schema

MODES = ("blend", "bridge")


def timed_conditioning(parts: list[tuple[Any, Tensor]]) -> Any:
    """One CONDITIONING from several, each with its weight `t` in every latent frame and where its own mask has it.

    ComfyUI mixes what the model predicts for each by these masks, so it works with every model.
    """
    mixed = []
    for conditioning, weights in parts:
        for states, options in conditioning:
            mask, place = weights[None, :, None, None].clone(), options.get("mask")
            if place is not None:
                mask = mask * place.reshape(1, -1, *place.shape[-2:]).to(mask)
            about = {"mask": mask, "set_area_to_bounds": False, "mask_strength": options.get("mask_strength", 1.0)}
            mixed.append([states, {**options, **about}])
    return mixed


class SoraConnectVideos(io.ComfyNode):
    """A transition between two videos, however different."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraConnectVideos",
            display_name="Sora Connect Videos",
            description="Prepares a latent that leads from the end of one video to the beginning of another while the"
            " prompt moves from the one's to the other's. Sample and decode it, then join all three with Sora Join"
            " Videos.",
            search_aliases=["transition", "morph", "interpolate videos", "in-between"],
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of the model that will be sampled, of any video model."),
                movie_input("first", "The video to start from."),
                movie_input("second", "The video to arrive at, as large as the first, and unless fps is set as fast."),
                io.Conditioning.Input("positive_first", tooltip="The encoded prompt of the first video."),
                io.Conditioning.Input("positive_second", tooltip="The encoded prompt of the second video."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="blend",
                    tooltip="blend: the videos overlap, and the overlap is made anew, most in its middle. bridge: a new"
                    " part is made between the two.",
                ),
                io.Float.Input(
                    "seconds", default=1.0, min=0.05, max=3600.0, step=0.05,
                    tooltip="Duration of the overlap or of the new part; rounded up to whole latent frames.",
                ),
                io.Float.Input(
                    "context", default=1.0, min=0.05, max=3600.0, step=0.05,
                    tooltip="Seconds of each video, next to the transition, that are kept and that the model sees.",
                ),
                advanced(
                    io.Combo, "curve", options=list(CURVES), default="smooth",
                    tooltip="How the transition proceeds: evenly, or slowly at both ends.",
                ),
                advanced(
                    io.Float, "peak", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How much the middle of a blend is made anew: 0 is a plain cross-fade.",
                ),
                fps_input("both videos", MOVIES_RATE),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="For a sampler: both ends are kept."),
                io.Conditioning.Output(display_name="positive", tooltip="The prompt that moves from one to the other."),
                io.Float.Output(
                    display_name="overlap_first", tooltip="Seconds of the first video's end that it replaces."
                ),
                io.Float.Output(
                    display_name="overlap_second", tooltip="Seconds of the second's beginning that it replaces."
                ),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, vae: io.Vae.Type, first: Any, second: Any, positive_first: Any, positive_second: Any, mode: str,
        seconds: float, context: float, curve: str, peak: float, fps: float,
    ) -> io.NodeOutput:  # fmt: skip
        geometry = geometry_of(vae)
        chosen("mode", mode, MODES)

        def shown(available: int, rate: float) -> int:
            """How many frames next to the transition it can need: context, overlap, and what both are rounded up by."""
            shared = max(1, frames_within("context", context, rate, available))
            return min(available, shared + geometry.boundary(shared + max(1, round(seconds * rate))))

        def ending(available: int, rate: float) -> slice:
            return slice(available - shown(available, rate), None)

        def beginning(available: int, rate: float) -> slice:
            return slice(shown(available, rate))

        a, b, rate = pair_of_frames(first, second, fps, (ending, beginning))
        count, shared = max(1, round(seconds * rate)), max(1, round(context * rate))
        if mode == "bridge":
            plan = bridge(geometry, encoder(vae), a, b, count, shared, curve)
        else:
            plan = blend(geometry, encoder(vae), a, b, count, shared, curve, peak)
        shape = VideoShape(num_frames=plan.num_frames, height=a.shape[3], width=a.shape[4], fps=rate)
        for _, about in (*positive_first, *positive_second):
            check_mask(about.get("mask"), plan.known.clean)
        positive = timed_conditioning([(positive_first, 1 - plan.weights), (positive_second, plan.weights)])
        latent = {**to_latent(plan.known, shape), COURSE: plan.course}
        return io.NodeOutput(latent, positive, *(count / rate for count in plan.replaces))


class SoraPromptTimeline(io.ComfyNode):
    """A prompt that changes over time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraPromptTimeline",
            display_name="Sora Prompt Timeline",
            description='A prompt for each part of the video, one per line: "[0-2s] a red ball". Works with any video'
            " model; every prompt costs one more evaluation per step.",
            search_aliases=["prompt schedule", "prompt travel", "storyboard"],
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of the model that will be sampled."),
                io.Vae.Input("vae", tooltip="The VAE that belongs to it: it knows which frames a latent frame holds."),
                io.Latent.Input("latent", tooltip="The grid to be sampled, for its duration and frame rate."),
                io.String.Input(
                    "timeline",
                    multiline=True,
                    default="[0-1s] a red ball rolls across a meadow on a sunny day\n[1-2s] a red ball rolls across a"
                    " meadow at night",
                    tooltip="Lines such as [0-2s] a red ball: from 0 s, in order, without gaps.",
                ),
                io.Float.Input(
                    "blend", default=0.5, min=0.0, max=60.0, step=0.05,
                    tooltip="Seconds over which one prompt turns into the next.",
                ),
                fps_input("the video to be made", "0 takes the rate of the latent, or 8 if it knows none."),
            ],
            outputs=[io.Conditioning.Output(display_name="positive", tooltip="For any sampler.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, clip: io.Clip.Type, vae: io.Vae.Type, latent: Latent, timeline: str, blend: float, fps: float
    ) -> io.NodeOutput:
        geometry, segments = geometry_of(vae), parse(timeline)
        shape = shape_of(latent, geometry, fps)
        cells = latent["samples"].shape[2]
        weights = timeline_weights(segments, geometry, cells, shape.fps, blend)
        prompts = [encoded(clip, segment.prompt) for segment in segments]
        return io.NodeOutput(timed_conditioning(list(zip(prompts, weights, strict=True))))
