"""Guidance within an interval of noise levels, and rescaled, for ComfyUI's own sampling."""

from __future__ import annotations

import math
from typing import Any

import comfy.samplers
from torch import Tensor

from sora_core.diffusion.guidance import rescaled


def guided_levels(model: Any, sigmas: Tensor, *, goes_on: bool = False) -> tuple[float, float]:
    """The noise levels that guidance acts on where nobody says otherwise, see `Sora.guided_levels`.

    A sampling that `goes_on` where another stopped is taken for the rest of one from noise.
    """
    highest = float(model.get_model_object("model_sampling").sigma_max)
    # Shifting the levels rounds the highest one, at some shifts to just above 1.
    from_noise = goes_on or (bool(len(sigmas)) and float(sigmas[0]) >= highest * (1 - 1e-5))
    return (getattr(model.model, "guided_above", 0.0) if from_noise else 0.0, 1.0)


def check_guidance(*scales: float) -> None:
    """Raise ValueError for guidance that is no number, which blocks that compute it may give."""
    for scale in scales:
        if not math.isfinite(scale):
            raise ValueError(f"guidance is {scale}; it must be a finite number, for instance 3")


class IntervalGuider(comfy.samplers.CFGGuider):
    """`CFGGuider` that outside the interval asks for the prompt alone, which costs half; up to 1 is without end."""

    def __init__(self, model: Any, scale: float, interval: tuple[float, float]):
        check_guidance(scale)
        super().__init__(model)
        # The noise levels of some models begin far above 1.
        self.scale, self.interval = scale, (interval[0], interval[1] if interval[1] < 1 else math.inf)

    def predict_noise(self, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        low, high = self.interval
        self.set_cfg(self.scale if low <= float(timestep.max()) <= high else 1.0)
        return super().predict_noise(x, timestep, *args, **kwargs)


class TwoPromptGuider(comfy.samplers.CFGGuider):
    """`CFGGuider` that is asked now for one prompt, now for another: `prompt` is "source" or "positive"."""

    def __init__(self, model: Any, source: Any, positive: Any, negative: Any, scales: dict[str, float]):
        check_guidance(*scales.values())
        super().__init__(model)
        self.inner_set_conds({"source": source, "positive": positive, "negative": negative})
        self.scales, self.prompt = scales, "positive"

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        return comfy.samplers.sampling_function(
            self.inner_model, x, timestep, self.conds["negative"], self.conds[self.prompt], self.scales[self.prompt],
            model_options=model_options or {}, seed=seed,
        )  # fmt: skip


def with_rescaled_guidance(model: Any, share: float) -> Any:
    """A clone of the model whose guided predictions keep that share of the prompt's own contrast."""

    def rescale(args: dict[str, Any]) -> Tensor:
        if args["uncond_denoised"] is None:
            return args["denoised"]
        return rescaled(args["denoised"], args["cond_denoised"], share)

    model = model.clone()
    model.set_model_sampler_post_cfg_function(rescale)
    return model
