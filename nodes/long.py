"""The block that makes videos of any duration, window after window, and goes on after a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import comfy.model_management
from comfy_api.latest import io
from torch import Tensor

from sora_core.editing.long import sample_long
from sora_core.editing.long_state import LongState, fingerprint
from sora_core.editing.long_video import fused_cells, planned
from sora_core.randomness import generator
from sora_core.shapes import LatentShape

from .compat import to_intermediate, weight_samples
from .editing_media import geometry_of, known_of, shape_of
from .editing_wrap import LOOPED
from .native import Latent
from .sample import at_frame_rate, noise_levels, samples_for
from .sampling_inputs import guidance_input, sampler_input, seed_input, sigmas_input, steps_input
from .schema import advanced, schema
from .unfinished import unfinished
from .windows import window_sampler

NUMBERS = (bool, int, float, str, type(None))
HOLDERS = ("weights", "hooks", "cond_hint_original", "previous_controlnet")
"""Attributes under which ComfyUI's adapters (LoRA, LoHa and others), hooks and control nets hold tensors."""
SETTINGS = (
    "hooks", "hook_keyframe", "keyframes", "previous_controlnet", "_strength_model", "strength", "start_percent",
    "guarantee_steps", "timestep_percent_range",
)  # fmt: skip
"""Attributes that say how hooks and control nets were set up; their others change while a video is sampled."""


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors of a patch or a condition, however it holds them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for _, part in sorted(value.items(), key=lambda entry: str(entry[0])):
            yield from tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)
    else:
        yield from tensors_in([getattr(value, name) for name in HOLDERS if hasattr(value, name)])


def named(value: Any, within: tuple[Any, ...] = ()) -> Any:
    """What other blocks have done to a model or a prompt, as far as it can be told: functions and numbers they hold.

    A function that holds another one tells its numbers too, unless it is `within` that one already.
    """
    if isinstance(value, dict):
        return {str(key): named(part, within) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [named(part, within) for part in value]
    if isinstance(value, NUMBERS):
        return value
    held = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    within = (*within, value)
    told = [named(x, within) for x in held if isinstance(x, (*NUMBERS, FunctionType)) and x not in within]
    own = getattr(value, "__dict__", {})
    told += [[name, named(own[name], within)] for name in SETTINGS if name in own]
    return [type(value).__name__, getattr(value, "__qualname__", ""), told]


def identity_of(model: Any, settings: list[Any], tensors: list[Tensor], *conditionings: Any) -> str:
    """Everything that decides the video, in one short name that is the same after a restart of the server."""
    weights = weight_samples(model, "diffusion_model.")
    patches = sorted(model.patches.items(), key=lambda entry: str(entry[0]))
    given = [tensor.flatten()[:64] for _, parts in patches for part in parts for tensor in tensors_in(part[1])]
    about: list[Any] = [settings, [[str(key), [[p[0], p[2]] for p in parts]] for key, parts in patches]]
    about += [named(model.model_options), [[key, named(value)] for key, value in sorted(model.object_patches.items())]]
    about.append(named(model.wrappers))
    for conditioning in conditionings:
        for states, options in conditioning:
            given += [states, *(tensor for _, v in sorted(options.items()) for tensor in tensors_in(v))]
            about += [[key, named(value)] for key, value in sorted(options.items())]
    return f"{fingerprint([*weights, *tensors, *given])} {json.dumps(about, default=str)}"


class SoraLongVideoSampler(io.ComfyNode):
    """A minute in windows of two seconds."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraLongVideoSampler",
            display_name="Sora Long Video Sampler",
            description="Samples a video of any duration in windows, each going on from the latents of the last one,"
            " which are never encoded again. Memory is that of one window. A run that was cut off goes on from"
            " its last window.",
            search_aliases=["minute", "context windows", "infinite video"],
            inputs=[
                io.Model.Input("model", tooltip="The model of Load Sora Model, or any other video model."),
                io.Vae.Input("vae", tooltip="Its VAE: it knows how many frames a latent frame holds."),
                io.Conditioning.Input("positive", tooltip="What to show; a prompt timeline may change it over time."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                io.Latent.Input("latent", tooltip="A noise grid of any duration, or a latent with known frames."),
                seed_input(),
                steps_input("How many steps for each window."),
                guidance_input(),
                sampler_input(),
                io.Float.Input(
                    "window", default=2.0, min=0.1, max=3600.0, step=0.05,
                    tooltip="Seconds that the model sees at a time: as long as the clips that it was trained on.",
                ),
                io.Float.Input(
                    "overlap", default=0.5, min=0.05, max=3600.0, step=0.05,
                    tooltip="Seconds of each window that are the end of the one before; more keeps motion steadier and"
                    " takes longer.",
                ),
                io.Boolean.Input(
                    "anchor", default=True,
                    tooltip="Every window also sees the first frame of the video, which keeps things and colours.",
                ),
                io.Float.Input(
                    "correction", default=0.5, min=0.0, max=1.0, step=0.05,
                    tooltip="How far colours and contrast are brought back to those of the first window: 0 not at all,"
                    " 1 fully.",
                ),
                advanced(
                    io.Boolean, "resume", default=True,
                    tooltip="Go on with a run of the same settings that was cut off; off begins anew.",
                ),
                sigmas_input(),
                advanced(
                    io.Float, "history", default=0.0, min=0.0, max=0.95, step=0.05, optional=True,
                    tooltip="Share of noise on what a window takes over, so that Sora's model trusts its own mistakes"
                    " less; 0 hands it over clean.",
                ),
                advanced(
                    io.Float, "fusion", default=0.0, min=0.0, max=3600.0, step=0.05, optional=True,
                    tooltip="Seconds of the overlap that are made again and fade into the new window; less than the"
                    " overlap.",
                ),
                advanced(
                    io.Boolean, "loop", default=False, optional=True,
                    tooltip="The last window runs into the first one: decode with Sora Decode Loop. Nothing is anchored"
                    " then.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The clean latent, for Sora Decode Video.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: io.Model.Type, vae: io.Vae.Type, positive: Any, negative: Any, latent: Latent, seed: int,
        steps: int, guidance: float, sampler: str, window: float, overlap: float, anchor: bool, correction: float,
        resume: bool, sigmas: Tensor | None = None, history: float = 0.0, fusion: float = 0.0, loop: bool = False,
    ) -> io.NodeOutput:  # fmt: skip
        geometry = geometry_of(vae)
        latent = {**latent, "samples": samples_for(model, latent)}
        shape, given = shape_of(latent, geometry, 0.0), known_of(latent)
        b, c, t, h, w = given.clean.shape
        windows = planned(geometry, shape.fps, t, window, overlap, anchor=anchor, loop=loop)
        if len(windows) > 1 and model.model_options.get("transformer_options", {}).get(LOOPED):
            raise ValueError(
                "Sora Seamless Loop's model would make a loop of every window: connect the model from before it, and"
                " turn on loop here if the whole video shall be one"
            )
        again = fused_cells(geometry, shape.fps, fusion)
        if sigmas is None:
            sigmas = noise_levels(model, given.clean[:, :, : len(windows[0].cells)], steps)
        positive, negative = at_frame_rate(latent, positive, negative)
        settings = [
            seed,
            guidance,
            sampler,
            correction,
            history,
            again,
            shape.fps,
            [x.cells for x in windows],
            sigmas.tolist(),
        ]
        tensors = [given.clean, given.mask]
        identity = identity_of(model, [*settings, latent.get("batch_index")], tensors, positive, negative)
        state = LongState(unfinished(f"{fingerprint_of(identity)}.safetensors"), identity)
        if not resume:
            state.delete()
        sample = window_sampler(
            model, positive, negative, sigmas, len(windows), seed=seed, guidance=guidance, sampler=sampler,
            latent_frames=t, start=lambda x: x.start(geometry.num_frames, shape.fps), index=latent.get("batch_index"),
        )  # fmt: skip
        made = sample_long(
            sample, LatentShape(channels=c, frames=t, height=h, width=w), windows, batch=b, given=given,
            correction=correction, history=history, fusion=again, state=state,
            report=lambda _: comfy.model_management.throw_exception_if_processing_interrupted(),
        )  # fmt: skip
        samples = to_intermediate(made)  # where there may be no room for it
        state.delete()
        return io.NodeOutput({**latent, "samples": samples})


def fingerprint_of(text: str) -> str:
    """A file name for a text of any length."""
    return f"{generator(0, text).initial_seed():016x}"
