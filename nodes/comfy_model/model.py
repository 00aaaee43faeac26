"""Sora as ComfyUI's model: a noise level for every patch, and clean predictions handed on as velocities."""

from __future__ import annotations

from typing import Any

import comfy.conds
import comfy.model_base
import comfy.model_sampling
import torch
from torch import Tensor

from sora_core.diffusion.conditioning import token_sigma

from ..compat import first_cell
from .transformer import DEFAULT_FPS, NOISY, PART, SIGMA, ComfyDiT, whole_patches


class Levels(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """Noise levels for stock schedulers, which end, as the pack's own do, where the model's sampling ends."""

    def __init__(self, model_config: Any):
        self.lowest: float = model_config.sora.dit.lowest_sigma
        super().__init__(model_config)

    def set_parameters(self, shift: float = 1.0, timesteps: int = 1000, multiplier: float = 1000) -> None:
        """The table that schedulers pick from."""
        self.shift, self.multiplier = shift, multiplier
        self.register_buffer("sigmas", self._between(torch.linspace(0, 1, timesteps)))

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level at a time from `lowest * multiplier` to `multiplier`."""
        return self._between((timestep / self.multiplier - self.lowest).clamp(min=0) / (1 - self.lowest))

    def percent_to_sigma(self, percent: float) -> float:
        """The level that so much of the sampling comes down to; blocks limit prompts and patches to such parts."""
        return 0.0 if percent >= 1 else float(self._between(torch.tensor(1 - max(percent, 0.0))))

    def _between(self, share: Tensor) -> Tensor:
        # The line is drawn before the shift, as `schedule` does.
        last = self.lowest / (self.shift - (self.shift - 1) * self.lowest)
        return comfy.model_sampling.time_snr_shift(self.shift, last + (1 - last) * share)


class SoraModel(comfy.model_base.BaseModel):
    """The straight path between video and noise that stock samplers walk."""

    def __init__(self, model_config: Any, device: Any = None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=ComfyDiT)
        self.lowest_sigma: float = model_config.sora.dit.lowest_sigma
        """Where the pack's schedule ends."""
        self.guided_above: float = model_config.sora.dit.guided_above
        """Where the pack's guidance ends."""
        self.model_sampling = Levels(model_config)

    def _apply_model(
        self, x: Tensor, t: Tensor, c_concat: Any = None, c_crossattn: Any = None, control: Any = None,
        transformer_options: dict[str, Any] | None = None, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        # The base class casts the latent to the network's precision; the velocity needs it as it was.
        options = {**(transformer_options or {}), NOISY: x, SIGMA: t}
        window = options.get("context_window")
        if window is not None and window.dim == 2 and PART not in options:
            first, mask = first_cell(window), kwargs.get("denoise_mask")
            frames = self.diffusion_model.compression.num_frames(first) if first else 0
            options[PART] = (frames / kwargs.get("frame_rate", DEFAULT_FPS), first > 0)
            if mask is not None and mask.shape[2] != x.shape[2]:
                kwargs["denoise_mask"] = window.get_tensor(mask)
        return super()._apply_model(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        out = super().extra_conds(**kwargs)
        for name, key in (("c_crossattn", "cross_attn"), ("attention_mask",) * 2):
            if kwargs.get(key) is not None:
                out[name] = comfy.conds.CONDRegular(kwargs[key])
        if kwargs.get("denoise_mask") is not None:
            out["denoise_mask"] = comfy.conds.CONDNoiseShape(kwargs["denoise_mask"])  # cut to a prompt's area
        rate = float(kwargs.get("frame_rate", DEFAULT_FPS))
        if not rate > 0:
            raise ValueError(
                f"a prompt has a frame rate of {rate:g}, and it must be above 0, for instance 8: set frame_rate of"
                " LTXVConditioning, or leave that block out"
            )
        out["frame_rate"] = comfy.conds.CONDConstant(rate)
        return out

    def process_timestep(self, timestep: Tensor, x: Tensor, denoise_mask: Tensor | None = None, **_: Any) -> Tensor:
        """The noise level in [0, 1] of each sample, `b`, or with a mask of each patch, `b n`."""
        # Train LoRA asks for the gradient of the noise levels, which are told apart by comparing them.
        sigma = timestep.detach() / getattr(self.model_sampling, "multiplier", 1.0)
        if denoise_mask is None:
            return sigma
        patch = self.diffusion_model.patch_size
        return token_sigma(sigma, whole_patches(denoise_mask[:, :1].float(), patch), patch)

    def scale_latent_inpaint(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, **_: Any) -> Tensor:
        """Known cells are shown clean: their noise level is their own."""
        return latent_image
