"""The blocks that walk from noise to a clean latent, and the noise levels on the way."""

from __future__ import annotations

import logging
import math
from typing import Any

import comfy.sample
import comfy.utils
import latent_preview
import torch
from comfy.model_sampling import CONST, ModelSamplingDiscreteFlow, ModelSamplingFlux
from comfy_api.latest import io
from torch import Tensor

from sora_core.diffusion.process import LOWEST_SIGMA
from sora_core.diffusion.schedules import schedule

from .compat import fitting_latent, to_intermediate
from .editing_wrap import with_noise_left
from .guider import IntervalGuider, guided_levels, with_rescaled_guidance
from .native import Latent, count_tokens, noise_mask_of, samples_of, size_of
from .sampling_inputs import guidance_input, sampler_input, sampler_of, seed_input, sigmas_input, steps_input
from .schema import advanced, schema

BEFORE = "sora_before"
"""Key of a LATENT with noise left in it: its samples, and those that the first part of its sampling was given."""


def noise_levels(model: Any, samples: Tensor, steps: int, start: float = 1.0, shift: float = 0.0) -> Tensor:
    """Sora's schedule for a latent, shifted by `shift` if it is above 0, else as a block before has patched the model,
    else by its number of tokens.

    Raises ValueError for models whose noise levels do not run from 1 to 0.
    """
    highest = float(model.get_model_object("model_sampling").sigma_max)
    if abs(highest - 1) > 1e-3:
        raise ValueError(
            f"this model's noise levels begin at {highest:g}; this schedule is for models that begin at 1: connect the"
            " sigmas of BasicScheduler instead"
        )
    patched = model.object_patches.get("model_sampling")
    if not shift and isinstance(patched, ModelSamplingDiscreteFlow):
        shift = float(patched.shift)
    elif not shift and isinstance(patched, ModelSamplingFlux):
        shift = math.exp(patched.shift)
    lowest = getattr(model.model, "lowest_sigma", LOWEST_SIGMA)
    return schedule(steps, count_tokens(model, samples), start=start, shift_factor=shift or None, lowest=lowest)


def samples_for(model: Any, latent: Latent) -> Tensor:
    """The samples of a LATENT, empty ones as the model wants them. Raises ValueError for a latent of another model."""
    samples = fitting_latent(model, samples_of(latent), latent)
    channels = getattr(model.get_model_object("latent_format"), "latent_channels", samples.shape[1])
    if samples.shape[1] != channels:
        raise ValueError(
            f"the latent has {samples.shape[1]} channels and this model's have {channels}: use the VAE that belongs to"
            " the model"
        )
    return samples


def check_levels(model: Any, sigmas: Tensor) -> None:
    """Raise ValueError for noise levels that no sampler can walk along to a latent."""
    told = [round(float(sigma), 4) for sigma in sigmas.flatten()]
    if sigmas.ndim != 1 or not torch.isfinite(sigmas).all() or bool((sigmas < 0).any()):
        raise ValueError(f"the noise levels are {told}; they must be one row of finite numbers, none below 0")
    # The straight path is handed on divided by the share of the video in it, which is 0 there.
    if isinstance(model.get_model_object("model_sampling"), CONST) and bool((sigmas[-1:] >= 1).any()):
        raise ValueError(
            f"the noise levels are {told}; they end at pure noise, with nothing of a video to hand on: let them end"
            " below 1, and split levels at step 1 or later"
        )


def check_mask(mask: Any, samples: Tensor) -> None:
    """Raise ValueError when a prompt's mask, `t h w` or `1 t h w`, is for another number of latent frames."""
    if isinstance(mask, Tensor) and samples.ndim == 5 and mask.ndim in (3, 4):
        pictures, frames = mask.shape[-3], samples.shape[2]
        if pictures not in (1, frames):
            raise ValueError(
                f"the mask of a prompt holds {pictures} pictures, and the latent has {frames} latent frames: give one"
                " picture, or one for each latent frame; Sora Prompt Timeline takes the very latent that is sampled"
            )


def at_frame_rate(latent: Latent, *prompts: Any) -> tuple[Any, ...]:
    """Encoded prompts that know the frame rate of the video: their own, or that of the latent if it knows one.

    Raises ValueError for prompts of a video of another duration.
    """
    for _, about in (part for prompt in prompts for part in prompt):
        check_mask(about.get("mask"), latent["samples"])
    size = size_of(latent)
    if size is None:
        return prompts
    return tuple([[states, {"frame_rate": size.fps, **about}] for states, about in prompt] for prompt in prompts)


def given_before(latent: Latent, samples: Tensor) -> Tensor | None:
    """What a LATENT with noise left in it was given before that, unless another block has changed it since."""
    made, given = latent.get(BEFORE, (None, None))
    return given if made is not None and torch.equal(made, samples) else None


def noise_left(model: Any, samples: Tensor, given: Tensor, sigma: Tensor) -> Tensor:
    """The noise with which `given` begins at the noise level `sigma` as `samples`, which have it in them, go on."""
    levels = model.get_model_object("model_sampling")

    def begun(noise: Tensor, image: Tensor) -> Tensor:
        inside = model.model.process_latent_in(image) if image.count_nonzero() else image
        return levels.noise_scaling(sigma, noise, inside)

    none = torch.zeros_like(samples)
    return (begun(none, samples) - begun(none, given)) / begun(torch.ones_like(samples), none)


class SoraSchedule(io.ComfyNode):
    """Noise levels that suit the size of the grid."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraSchedule",
            display_name="Sora Schedule",
            description="Noise levels for custom samplers. Larger and longer videos spend more steps at high noise.",
            search_aliases=["scheduler", "sigmas"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled; any model with noise from 1 to 0."),
                io.Latent.Input("latent", tooltip="The grid whose size decides the shift."),
                steps_input(),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise level to begin at: 1 makes a new video, less keeps that much more of the given one.",
                ),
                advanced(
                    io.Float,
                    "shift",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.05,
                    tooltip="0 takes what a ModelSampling block has set, else computes it from the number of tokens; 1"
                    " is none, more spends more steps at high noise.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="For SamplerCustom or Sora Sampler.")],
        )

    @classmethod
    def execute(cls, model: io.Model.Type, latent: Latent, steps: int, denoise: float, shift: float) -> io.NodeOutput:
        samples = fitting_latent(model, samples_of(latent), latent)
        return io.NodeOutput(noise_levels(model, samples, steps, denoise, shift))


class SoraSampler(io.ComfyNode):
    """Everything that sampling needs in one block."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraSampler",
            display_name="Sora Sampler",
            description="Turns noise into a video. The same noise, guidance and samplers as the stock blocks, with"
            " Sora's schedule, the frame rate of the grid, and guidance that can be limited and rescaled.",
            search_aliases=["ksampler", "generate video"],
            inputs=[
                io.Model.Input("model", tooltip="The model of Load Sora Model."),
                io.Conditioning.Input("positive", tooltip="What to show."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                io.Latent.Input("latent", tooltip="A noise grid, or a latent with known frames to complete."),
                seed_input(),
                steps_input(),
                guidance_input(),
                sampler_input(),
                advanced(
                    io.Float,
                    "guidance_from",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Highest noise level that is guided; above it the prompt alone decides, at half the cost.",
                ),
                advanced(
                    io.Float,
                    "guidance_to",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Lowest noise level that is guided; below it the prompt alone decides, at half the cost."
                    " 0 leaves it to the model: Sora Mini's is 0.7 where sampling begins with noise.",
                ),
                advanced(
                    io.Float,
                    "guidance_rescale",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Takes back the harsh contrast of strong guidance: 0 not at all, 1 fully.",
                ),
                sigmas_input(),
                advanced(
                    io.Boolean,
                    "add_noise",
                    default=True,
                    optional=True,
                    tooltip="Off for the second part of a sampling whose noise levels were split: it goes on from the"
                    " noise that is left.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The clean latent, for a VAE decoder; noisy if the noise levels do not end in 0.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, model: io.Model.Type, positive: Any, negative: Any, latent: Latent, seed: int, steps: int,
        guidance: float, sampler: str, guidance_from: float, guidance_to: float, guidance_rescale: float,
        sigmas: Tensor | None = None, add_noise: bool = True,
    ) -> io.NodeOutput:  # fmt: skip
        samples = samples_for(model, latent)
        latent = {**latent, "samples": samples}
        if sigmas is None:
            sigmas = noise_levels(model, samples, steps)
        check_levels(model, sigmas)
        positive, negative = at_frame_rate(latent, positive, negative)
        if guidance_rescale:
            model = with_rescaled_guidance(model, guidance_rescale)
        given = None if add_noise or not sigmas[:1].any() else given_before(latent, samples)
        if add_noise:
            noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
        elif given is None:
            noise = torch.zeros_like(samples)
        else:  # masks keep what was given, not its noise
            noise, samples = noise_left(model, samples, given, sigmas[0]), given
            model = with_noise_left(model)
        lowest = guidance_to or guided_levels(model, sigmas, goes_on=not add_noise)[0]
        if guidance != 1 and lowest > guidance_from:
            logging.warning(
                "Sora: no noise level is guided, for guidance ends at %g and begins at %g: set guidance_to above 0 and"
                " below guidance_from", lowest, guidance_from,
            )  # fmt: skip
        guider = IntervalGuider(model, guidance, (lowest, guidance_from))
        guider.set_conds(positive, negative)
        result = guider.sample(
            noise,
            samples,
            sampler_of(sampler),
            sigmas,
            denoise_mask=noise_mask_of(latent),
            callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        made = {**latent, "samples": to_intermediate(result)}
        made.pop(BEFORE, None)
        if "noise_mask" in latent and sigmas[-1:].any():
            made[BEFORE] = made["samples"], samples
        return io.NodeOutput(made)
