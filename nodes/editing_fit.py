"""The block that lets any native model understand given frames, and a sampler for those that need more."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from sora_core.diffusion.conditioning import Known
from sora_core.editing.border import ramp
from sora_core.editing.place import check_channels
from sora_core.editing.resample import resample
from sora_core.randomness import generator

from .editing_change import level_of
from .editing_media import COURSE, encoder, geometry_of, known_of
from .editing_wrap import knows_time_per_frame, takes_images, with_course, with_strengths, without_course
from .native import Latent, samples_of
from .sample import given_before
from .schema import chosen, schema

BORDERS = ("automatic", "hard", "soft")
HARD = "sora_hard"
"""Key of a LATENT whose noise mask has a soft border: that mask, and the one without."""


def check_model(model: Any, samples: Tensor) -> None:
    """Raise ValueError when a latent is not of the kind that a model denoises."""
    wanted = model.get_model_object("latent_format")
    channels = getattr(wanted, "latent_channels", samples.shape[1])
    if samples.ndim != 5 or samples.shape[1] != channels:
        raise ValueError(
            f"the latent is {tuple(samples.shape)} but this model's are (b, {channels}, t, h, w); use the VAE that"
            " belongs to the model"
        )


def given_in(latent: Latent) -> Known:
    """What a LATENT with a noise mask gave before a first model was fitted to it and sampled part of it."""
    samples, mask = samples_of(latent), latent["noise_mask"]
    given = given_before(latent, samples)
    soft, hard = latent.get(HARD, (None, None))
    fitted = soft is not None and torch.equal(soft, mask.to(soft))
    return known_of({**latent, "samples": samples if given is None else given, "noise_mask": hard if fitted else mask})


def grey_cells(vae: Any, latent: Tensor) -> Tensor:
    """The latent of a grey video as long as a `latent`, `1 c t 1 1`: it is the same everywhere, so a small and short
    one tells it. Raises ValueError for the VAE of other latents.
    """
    geometry, latent_frames = geometry_of(vae), latent.shape[2]
    check_channels(geometry, latent)
    side, few = 8 * geometry.space, min(latent_frames, 5)
    grey = encoder(vae)(torch.full((1, 3, geometry.num_frames(few), side, side), 0.5))
    middle = grey[..., grey.shape[3] // 2, grey.shape[4] // 2][..., None, None]
    return torch.cat([middle, middle[:, :, -1:].expand(-1, -1, latent_frames - few, -1, -1)], dim=2)


def shown_in(size: list[int], shown: Tensor | None) -> Tensor | None:
    """What a prompt shows, resized to a latent's `t h w` as models do it; None if it has another duration."""
    if shown is None or shown.ndim != 5 or shown.shape[2] != size[0]:
        return None
    if list(shown.shape[3:]) == size[1:]:
        return shown
    return comfy.utils.common_upscale(shown, size[2], size[1], "bilinear", "center")


def image_inputs(about: dict[str, Any], known: Known, empty: Tensor | float = 0.0) -> dict[str, Tensor]:
    """What models with image inputs are shown: the given cells, and elsewhere what a prompt shows already, or `empty`.

    A control before the image, as Wan's Fun models have it, stays, and so does all that HunyuanVideo's upscaler shows:
    an image, a small video and a mask of each. The mask has one channel unless the prompt's has more, as some models
    mistake one of all channels for more.
    """
    b, c, *size = known.clean.shape
    control, image = known.clean[:, :0], torch.as_tensor(empty).to(known.clean)
    before, mask = (shown_in(size, about.get(name)) for name in ("concat_latent_image", "concat_mask"))
    if before is not None and before.shape[1] % c:
        return {}
    if before is not None:
        before = comfy.utils.repeat_to_batch_size(before.to(known.clean), b)
        control, image = before[:, :-c], before[:, -c:]
    shown = torch.cat([control, torch.where(known.mask < 1, known.clean, image)], dim=1)
    if mask is None:
        return {"concat_latent_image": shown, "concat_mask": known.mask}
    mask = comfy.utils.repeat_to_batch_size(mask.to(known.mask), b)
    return {"concat_latent_image": shown, "concat_mask": mask.minimum(known.mask)}


def with_images(known: Known, *prompts: Any, empty: Tensor | float = 0.0) -> tuple[Any, ...]:
    """Encoded prompts that also show models with image inputs what is given, as `image_inputs` does."""
    return tuple(
        [[states, {**about, **image_inputs(about, known, empty)}] for states, about in prompt] for prompt in prompts
    )


class SoraFitModel(io.ComfyNode):
    """Given frames for models other than Sora."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraFitModel",
            display_name="Sora Fit Model",
            description="Goes between a latent with given frames and the sampler. Models"
            " with image inputs (Wan and HunyuanVideo image to video) get the frames there too; models with one noise"
            " level for all frames (Wan 2.1, HunyuanVideo, Mochi) get a soft border. Sora needs it only for frames"
            " given at less than full strength, and for connected videos.",
            search_aliases=["inpaint conditioning", "wan image to video", "hunyuan"],
            inputs=[
                io.Model.Input("model", tooltip="Any video model."),
                io.Conditioning.Input("positive", tooltip="What to show."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                io.Latent.Input("latent", tooltip="A latent of Sora Place Frames, Extend Video or Connect Videos."),
                io.Combo.Input(
                    "border",
                    options=list(BORDERS),
                    default="automatic",
                    tooltip="hard keeps every given frame exactly; soft lets two latent frames next to the new ones"
                    " adapt; automatic is soft only for models that need it.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Connect Wan's for its image-to-video models, which were trained to see grey where nothing"
                    " is given; others see nothing there.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
                io.Latent.Output(display_name="latent", tooltip="For the sampler."),
            ],
        )

    @classmethod
    def execute(
        cls, model: io.Model.Type, positive: Any, negative: Any, latent: Latent, border: str, vae: Any = None
    ) -> io.NodeOutput:
        chosen("border", border, BORDERS)
        check_model(model, samples_of(latent))
        model = without_course(model)
        if latent.get("noise_mask") is None:
            return io.NodeOutput(model, positive, negative, latent)
        known = given_in(latent)
        if takes_images(model):  # LTX-2 would take their mask for that of video and sound
            empty = 0.0 if vae is None else grey_cells(vae, known.clean)
            positive, negative = with_images(known, positive, negative, empty=empty)
        mask = known.mask
        if border == "soft" or (border == "automatic" and not knows_time_per_frame(model)):
            mask = ramp(mask)
            latent = {**latent, HARD: (mask, known.mask)}
        # Sora Edit Video has told its model already when each cell may change.
        if bool(((mask > 0) & (mask < 1)).any()) and "denoise_mask_function" not in model.model_options:
            original = model
            model = with_strengths(model, 1.0, lambda strength: level_of(original, strength))
        course = latent.get(COURSE)
        if course is not None and course.shape[2:] == known.clean.shape[2:]:
            model = with_course(model, course, known.mask)
        return io.NodeOutput(model, positive, negative, {**latent, "noise_mask": mask})


class SoraResampleSampler(io.ComfyNode):
    """A slower sampler without seams."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraResampleSampler",
            display_name="Sora Resample Sampler",
            description="Takes every step several times with fresh noise, so that given and new frames find together"
            " (RePaint). For models with one noise level for all frames and noise levels from 1 to 0.",
            search_aliases=["repaint", "inpaint sampler"],
            inputs=[
                io.Int.Input(
                    "repeats", default=4, min=1, max=32, tooltip="How often each step is taken; the cost rises as much."
                ),
            ],
            outputs=[io.Sampler.Output(display_name="sampler", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, repeats: int) -> io.NodeOutput:
        def sample(
            model: Any, x: Tensor, sigmas: Tensor, extra_args: dict | None = None, callback: Any = None,
            disable: Any = None, noise_sampler: Any = None, **unused: Any,
        ) -> Tensor:  # fmt: skip
            # The noise sampler is named because other blocks tell by it that a sampler adds noise on the way.
            extra = extra_args or {}
            if float(sigmas.max()) > 1 + 1e-3:
                raise ValueError(
                    f"this sampler is for noise levels from 1 to 0 and these begin at {float(sigmas.max()):g}; use a"
                    " stock sampler for this model"
                )

            def report(info: dict[str, Any]) -> None:
                if callback is not None:
                    callback({"i": info["step"], "sigma": info["sigma"], "x": info["x"], "denoised": info["denoised"]})

            return resample(
                lambda y, sigma: model(y, sigma, **extra), x, sigmas, generator(extra.get("seed") or 0, "resample"),
                repeats=repeats, callback=report,
            )  # fmt: skip

        return io.NodeOutput(comfy.samplers.KSAMPLER(sample))
