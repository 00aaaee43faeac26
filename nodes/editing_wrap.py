"""How an edit reaches into any model while it is sampled: around each call, composed with what is there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from sora_core.editing.connect import led
from sora_core.editing.loop import check_loop, roll_conditions, step_of
from sora_core.editing.sdedit import released

from .comfy_model.transformer import CIRCULAR

Call = dict[str, Any]
"""What ComfyUI hands to a function wrapper: input `b c t h w`, timestep `b`, c (conditions), cond_or_uncond."""
Apply = Callable[..., Tensor]
CELLS = "sora_cells"
"""Key of the transformer options under which a window of a long video says which of its latent frames it holds."""


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
    clone.model_options["transformer_options"] = {**options, CIRCULAR: True}
    return clone


def with_rolling(model: Any, stride: int) -> Any:
    """The model seeing the video from another first frame at every step, conditions and masks too."""

    def around(run: Callable[[Call], Tensor], call: Call) -> Tensor:
        x = call["input"]
        if x.ndim != 5:
            raise ValueError("a loop needs a video latent; this one is an image's")
        check_loop(x.shape[2])
        sigmas = call["c"]["transformer_options"]["sample_sigmas"]
        shift = step_of(call["timestep"].max(), sigmas) * stride % x.shape[2]
        c = roll_conditions(call["c"], x.shape[2], -shift)
        return run({**call, "input": x.roll(-shift, dims=2), "c": c}).roll(shift, dims=2)

    return wrapped(model, around)


def with_course(model: Any, course: Tensor, mask: Tensor) -> Any:
    """The model led along a transition: large patches of colour follow `course`, cells of mask 0 stay as they are."""
    target = model.model.process_latent_in(course)

    def follow(args: dict[str, Any]) -> Tensor:
        denoised = args["denoised"]
        cells = args["model_options"].get("transformer_options", {}).get(CELLS, slice(None))
        return led(denoised, target[:, :, cells].to(denoised), mask[:, :, cells].to(denoised))

    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(follow)
    return clone


def with_release(model: Any, highest: float, level: Callable[[float], float]) -> Any:
    """The model changing each cell from its own strength on; the noise mask holds strengths relative to `highest`.

    `level` gives the noise level of a strength. Models with a noise level per cell are told the one that a cell has.
    """

    def mask_at(mask: Tensor, sigma: Tensor) -> Tensor:
        levels = mask.clone()
        for value in mask.unique().tolist():
            # What may change most is free from the first step, whatever rounding did to that step's level.
            free = float("inf") if value >= 1 - 1e-4 else -1.0 if value <= 0 else level(value * highest)
            levels[mask == value] = free
        return released(levels, float(sigma.max())).to(mask)

    def around(run: Callable[[Call], Tensor], call: Call) -> Tensor:
        c = call["c"]
        if isinstance(c.get("denoise_mask"), Tensor):
            c = {**c, "denoise_mask": mask_at(c["denoise_mask"], call["timestep"])}
        return run({**call, "c": c})

    clone = wrapped(model, around)
    clone.set_model_denoise_mask_function(lambda sigma, mask, extra_options: mask_at(mask, sigma))
    return clone
