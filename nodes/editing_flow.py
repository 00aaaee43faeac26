"""The block that edits a video by the difference of two prompts, without turning it into noise first (FlowEdit)."""

from __future__ import annotations

from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy_api.latest import io
from torch import Tensor

from sora_core.editing.flowedit import flowedit

from .compat import to_intermediate
from .editing_change import levels_from
from .editing_fit import check_model, given_in, with_images
from .guider import TwoPromptGuider
from .native import Latent, check_made, noise_mask_of, samples_of
from .sample import at_frame_rate
from .sampling_inputs import guidance_input, seed_input, steps_input
from .schema import advanced, schema


def check_flow(model: Any) -> None:
    """Raise ValueError for models whose noise levels do not run from 1 to 0."""
    highest = float(model.get_model_object("model_sampling").sigma_max)
    if highest > 1 + 1e-3:
        raise ValueError(
            f"this model's noise levels begin at {highest:g}; Sora Flow Edit is for models that begin at 1: use Sora"
            " Edit Video for this one"
        )


def flow_sampler(guider: TwoPromptGuider, samples: Tensor, seed: int, index: Any, until: float, averages: int) -> Any:
    """A SAMPLER that moves `samples` along what the two prompts of `guider` differ in; it takes no noise of its own."""

    def sample(
        model: Any, x: Tensor, sigmas: Tensor, extra_args: dict | None = None, callback: Any = None,
        noise_sampler: Any = None, **unused: Any,
    ) -> Tensor:  # fmt: skip
        # The noise sampler is named because other blocks tell by it that all cells get noise of one level on the way.
        extra = extra_args or {}

        def follow(prompt: str) -> Any:
            def denoise(y: Tensor, sigma: Tensor) -> Tensor:
                guider.prompt = prompt
                return model(y, sigma, **extra)

            return denoise

        def report(info: dict[str, Any]) -> None:
            if callback is not None:
                callback({"i": info["step"], "sigma": info["sigma"], "x": info["x"], "denoised": info["denoised"]})

        return flowedit(
            follow("source"), follow("positive"), guider.inner_model.process_latent_in(samples).to(x), sigmas,
            lambda draw: comfy.sample.prepare_noise(samples, (seed + 7919 * draw) % 2**64, index),
            until=until, averages=averages, callback=report,
        )  # fmt: skip

    return comfy.samplers.KSAMPLER(sample)


class SoraFlowEdit(io.ComfyNode):
    """Another subject or world for a given video, with the rest as it was."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraFlowEdit",
            display_name="Sora Flow Edit",
            description="Changes what one prompt says of a video into what another says, without turning the video"
            " into noise first: what both prompts agree on stays. For models whose noise levels run from 1 to 0:"
            " Sora, Wan, HunyuanVideo, LTX-Video and Mochi.",
            search_aliases=["flowedit", "video to video", "prompt to prompt", "inversion-free editing"],
            inputs=[
                io.Model.Input("model", tooltip="The model that edits, any video model with noise from 1 to 0."),
                io.Conditioning.Input("source", tooltip="The encoded prompt that says what the video shows."),
                io.Conditioning.Input("positive", tooltip="The encoded prompt that says what it shall show instead."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                io.Latent.Input(
                    "latent",
                    tooltip="The video to edit: a sampled or an encoded latent. What its noise mask keeps, also of"
                    " frames that were placed before sampling, does not change.",
                ),
                seed_input("Another seed is another edit of the same video."),
                steps_input("How many steps; each evaluates both prompts."),
                io.Float.Input(
                    "strength",
                    default=0.8,
                    min=0.05,
                    max=1.0,
                    step=0.01,
                    tooltip="How much may change, as in Sora Edit Video: more changes larger shapes.",
                ),
                guidance_input("How strictly the new prompt is followed."),
                advanced(
                    io.Float,
                    "source_guidance",
                    default=1.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="How strictly the old prompt is followed; the edit is the difference of the two.",
                ),
                advanced(
                    io.Float,
                    "refine_below",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise level below which the new prompt alone is followed, for new detail; 0 is never.",
                ),
                advanced(
                    io.Int,
                    "averages",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Draws of noise per step; more keep more of the video, and the cost rises as much.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The edited video, for a VAE decoder.")],
        )

    @classmethod
    def execute(
        cls, model: io.Model.Type, source: Any, positive: Any, negative: Any, latent: Latent, seed: int, steps: int,
        strength: float, guidance: float, source_guidance: float, refine_below: float, averages: int,
    ) -> io.NodeOutput:  # fmt: skip
        samples = samples_of(latent)
        check_model(model, samples)
        check_flow(model)
        sigmas = levels_from(model, samples, steps, strength)
        prompts = at_frame_rate(latent, source, positive, negative)
        if latent.get("noise_mask") is not None:
            prompts = with_images(given_in(latent), *prompts)
        check_made(samples)
        index = latent.get("batch_index")
        guider = TwoPromptGuider(model, *prompts, {"source": source_guidance, "positive": guidance})
        result = guider.sample(
            comfy.sample.prepare_noise(samples, seed, index),
            samples,
            flow_sampler(guider, samples, seed, index, refine_below, averages),
            sigmas,
            denoise_mask=noise_mask_of(latent),
            callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        return io.NodeOutput({**latent, "samples": to_intermediate(result)})
