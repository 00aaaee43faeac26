"""How an edit reaches into any model while it is sampled: around each call, composed with what is there already."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from comfy.model_base import BaseModel
from comfy.model_sampling import CONST
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from sora_core.editing.connect import led
from sora_core.editing.loop import check_loop, roll_conditions, step_of
from sora_core.editing.sdedit import released

from .comfy_model.transformer import CIRCULAR
from .compat import takes

Call = dict[str, Any]
"""What ComfyUI hands to a function wrapper: input `b c t h w`, timestep `b`, c (conditions), cond_or_uncond."""
Apply = Callable[..., Tensor]
CELLS = "sora_cells"
"""Key of the transformer options under which a window of a long video says which of its latent frames it holds."""

LOOPED = "sora_looped"
"""Key of the transformer options, true for a model that makes whatever it samples a loop."""
SHARES = "sora_shares"
"""Key of the transformer options, true while each cell is at a share of the global noise level."""
TOLD = "sora_told"
"""Key of the transformer options: by which strengths the model was told last, for only those hold."""
LEFT = "sora_left"
"""Key of the transformer options, true while a split sampling goes on from the noise that its first part left."""
LED = "sora_led"
"""Key of the transformer options: along which transition the model was led last, for only that one holds."""
WHOLE = 1 - 1e-4
"""Relative strengths from here on are the highest."""


def check_guides(conditions: dict[str, Any]) -> None:
    """Raise ValueError for LTX-Video's guides: latent frames behind those of the video, known by that place alone."""
    if conditions.get("keyframe_idxs") is not None:
        raise ValueError(
            "the prompts have guides of LTXVAddGuide, which lie behind the video as if they were more of it, and loops,"
            " windows and tiles would mix them with it: give the frames with Sora Place Frames instead"
        )


def wrapped(model: Any, around: Callable[[Callable[[Call], Tensor], Call], Tensor]) -> Any:
    """A clone of the model with `around(run, call)` about every evaluation, outside of a wrapper that it has."""
    inner = model.model_options.get("model_function_wrapper")

    def wrapper(apply: Apply, call: Call) -> Tensor:
        def run(call: Call) -> Tensor:
            return apply(call["input"], call["timestep"], **call["c"]) if inner is None else inner(apply, call)

        return around(run, call)

    clone = model.clone()
    clone.set_model_unet_function_wrapper(wrapper)
    return clone


def with_circular_time(model: Any) -> Any:
    """A clone of a Sora model whose time runs in a circle: rolling the noise rolls the video, exactly."""
    clone = model.clone()
    options = clone.model_options.get("transformer_options", {})
    clone.model_options["transformer_options"] = {**options, CIRCULAR: True, LOOPED: True}
    return clone


def with_noise_left(model: Any) -> Any:
    """A clone of the model that is sampled from noise which already is at each cell's own level."""
    clone = model.clone()
    options = clone.model_options.get("transformer_options", {})
    clone.model_options["transformer_options"] = {**options, LEFT: True}
    return clone


def with_rolling(model: Any, stride: int) -> Any:
    """The model seeing the video from another first frame at every step, conditions and masks too."""

    def around(run: Callable[[Call], Tensor], call: Call) -> Tensor:
        x = call["input"]
        if x.ndim != 5:
            raise ValueError(
                "a loop needs the latent of a video alone; this one is an image's, or holds several streams, such as"
                " video with sound"
            )
        check_loop(x.shape[2])
        check_guides(call["c"])
        sigmas = call["c"]["transformer_options"]["sample_sigmas"]
        shift = step_of(call["timestep"].max(), sigmas) * stride % x.shape[2]
        x, c = with_beginning(x, call["c"])
        c = roll_conditions(c, x.shape[2], -shift)
        return run({**call, "input": x.roll(-shift, dims=2), "c": c}).roll(shift, dims=2)

    clone = wrapped(model, around)
    options = clone.model_options.get("transformer_options", {})
    clone.model_options["transformer_options"] = {**options, LOOPED: True}
    return clone


def with_beginning(x: Tensor, c: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """A latent with the given beginning that Kandinsky 5 else puts there itself, wherever its frames have moved."""
    start = c.get("time_dim_replace")
    if start is None:
        return x, c
    x = x.clone()
    x[:, : start.shape[1], : start.shape[2]] = start.to(x)
    return x, {**c, "time_dim_replace": None}


def with_course(model: Any, course: Tensor, mask: Tensor) -> Any:
    """The model led along a transition: large patches of colour follow `course`, cells of mask 0 stay as they are.

    A latent of another size is not led, and transitions that the model was fitted to before no longer count.
    """
    target = model.model.process_latent_in(course)

    def follow(args: dict[str, Any]) -> Tensor:
        denoised, options = args["denoised"], args["model_options"].get("transformer_options", {})
        if options.get(LED) is not follow:
            return denoised
        here, free = (whole[:, :, options.get(CELLS, slice(None))].to(denoised) for whole in (target, mask))
        return led(denoised, here, free) if here.shape[2:] == denoised.shape[2:] else denoised

    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(follow)
    options = clone.model_options.get("transformer_options", {})
    clone.model_options["transformer_options"] = {**options, LED: follow}
    return clone


def without_course(model: Any) -> Any:
    """The model no longer led along the transition of another latent."""
    if model.model_options.get("transformer_options", {}).get(LED) is None:
        return model
    clone = model.clone()
    options = clone.model_options["transformer_options"]
    clone.model_options["transformer_options"] = {key: value for key, value in options.items() if key != LED}
    return clone


def with_strengths(model: Any, highest: float, level: Callable[[float], float]) -> Any:
    """The model changing each cell as much as its strength says; the noise mask holds strengths relative to `highest`.

    `level` gives the noise level of a strength. A model with a noise level per cell sees each at its own share of the
    global one, as `sora_core.editing.regenerate.with_shares`; for any other model, and for samplers that add noise on
    the way, which know only one level, a cell follows the noised original until the level falls to its own.
    Strengths that the model was told before, for another latent, no longer count.
    """
    level_of = cache(level)

    def released_at(mask: Tensor, sigma: Tensor) -> Tensor:
        # What may change most is free from the first step, whatever rounding did to that step's level.
        levels = mapped(mask, lambda v: float("inf") if v >= WHOLE else -1.0 if v <= 0 else level_of(v * highest))
        return released(levels, float(sigma.max())).to(mask)

    def shares(mask: Tensor) -> Tensor:
        most = level_of(highest)
        return mapped(mask, lambda v: 1.0 if v >= WHOLE else level_of(v * highest) / most if v > 0 else 0.0)

    def around(run: Callable[[Call], Tensor], call: Call) -> Tensor:
        c, options = call["c"], call["c"]["transformer_options"]
        if isinstance(c.get("denoise_mask"), Tensor) and options.get(TOLD) is shares:
            mask = c["denoise_mask"]
            c = {**c, "denoise_mask": shares(mask) if options.get(SHARES) else released_at(mask, call["timestep"])}
        return run({**call, "c": c})

    def sample(
        executor: Any, guider: Any, sigmas: Tensor, extra_args: dict[str, Any], callback: Any, noise: Tensor,
        latent_image: Tensor, denoise_mask: Tensor | None = None, disable_pbar: bool = False,
    ) -> Tensor:  # fmt: skip
        told = extra_args["model_options"].get("transformer_options", {})
        if denoise_mask is not None and keeps_levels(executor.class_obj) and told.get(TOLD) is shares:
            share = shares(denoise_mask)
            if noise.count_nonzero() and not told.get(LEFT):  # else it is the second part of a split sampling
                noise = share * noise + (1 - share) * latent_image
            denoise_mask = (share > 0).to(share)
            options = {k: v for k, v in extra_args["model_options"].items() if k != "denoise_mask_function"}
            options["transformer_options"] = {**options.get("transformer_options", {}), SHARES: True}
            extra_args = {**extra_args, "model_options": options}
        return executor(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar)

    clone = wrapped(model, around)
    options = clone.model_options.get("transformer_options", {})
    clone.model_options["transformer_options"] = {**options, TOLD: shares}
    clone.set_model_denoise_mask_function(lambda sigma, mask, extra_options: released_at(mask, sigma))
    if knows_time_per_frame(model) and isinstance(model.get_model_object("model_sampling"), CONST):
        clone.add_wrapper(WrappersMP.SAMPLER_SAMPLE, sample)
    return clone


def mapped(mask: Tensor, each: Callable[[float], float]) -> Tensor:
    """A mask `b c ...`, the same in all channels, with each of its values replaced."""
    values, places = mask[:, :1].unique(return_inverse=True)
    return torch.tensor([each(value) for value in values.tolist()]).to(mask)[places].expand_as(mask)


def knows_time_per_frame(model: Any) -> bool:
    """Whether a model takes a noise level for each frame or patch, so that a hard border leaves no jump."""
    return type(model.model).process_timestep is not BaseModel.process_timestep


def takes_images(model: Any) -> bool:
    """Whether a model can have inputs for images beside the video."""
    return bool(model.model.concat_keys) or type(model.model).concat_cond is not BaseModel.concat_cond


def keeps_levels(sampler: Any) -> bool:
    """Whether a sampler walks from noise level to level without adding noise, so that each cell can be at its own."""
    function = getattr(sampler, "sampler_function", None)
    return function is not None and not takes(function, "noise_sampler")
