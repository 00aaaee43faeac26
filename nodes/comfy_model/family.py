"""Sora in ComfyUI's list of model families, so that stock loaders and savers know its files."""

from __future__ import annotations

from functools import partial
from typing import Any

import comfy.supported_models
import comfy.supported_models_base
import torch
from torch import Tensor

from sora_core.checkpoint import CONFIG_BUFFER, MARKERS, PREFIXES, config_from_tensor, config_tensor
from sora_core.config import SoraConfig
from sora_core.diffusion.process import shift_for_tokens

from .model import SoraModel
from .preview import SoraLatentFormat, latent_colours
from .text import SoraTextModel, SoraTokenizer

REFERENCE_TOKENS = 320
"""Patches of 2 seconds of 128x128 at 8 frames a second: the grid whose shift stock schedulers start from."""


class SoraFamily(comfy.supported_models_base.BASE):
    """How ComfyUI recognises, builds, loads and saves a Sora model; its configuration is inside the weights."""

    unet_config: dict[str, Any] = {"image_model": "sora"}  # noqa: RUF012
    unet_extra_config: dict[str, Any] = {}  # noqa: RUF012
    sampling_settings = {"shift": shift_for_tokens(REFERENCE_TOKENS), "multiplier": 1000}  # noqa: RUF012
    latent_format = SoraLatentFormat
    vae_key_prefix = [PREFIXES["vae"]]  # noqa: RUF012
    text_encoder_key_prefix = ["text_encoders."]  # noqa: RUF012
    supported_inference_dtypes = [torch.bfloat16, torch.float16, torch.float32]  # noqa: RUF012
    sora: SoraConfig | None = None

    @classmethod
    def matches(cls, unet_config: Any, state_dict: Any = None, *args: Any, **kwargs: Any) -> bool:
        """Whether a file is ours. Never raises: ComfyUI asks about every model that anybody loads."""
        return state_dict is not None and any(p + CONFIG_BUFFER in state_dict for p in ("", PREFIXES["dit"]))

    def inpaint_model(self) -> bool:
        return False

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device: Any = None) -> SoraModel:
        self.sora = config_from_tensor(state_dict[prefix + CONFIG_BUFFER])
        self.unet_config = {"sora": self.sora, "dtype": self.unet_config.get("dtype")}
        self.latent_format = SoraLatentFormat(self.sora, latent_colours(self.sora, state_dict))
        # Activations grow with the width; the divisor is what ComfyUI measured for Wan's transformer.
        self.memory_usage_factor = self.sora.dit.width / 2222
        return SoraModel(self, device=device)

    def clip_target(self, state_dict: dict[str, Tensor] | None = None) -> comfy.supported_models_base.ClipTarget:
        config = self.sora or config_from_tensor((state_dict or {})[PREFIXES["dit"] + CONFIG_BUFFER])
        target = comfy.supported_models_base.ClipTarget(partial(SoraTokenizer, config.text), SoraTextModel)
        target.params["config"] = config.text
        return target

    def process_unet_state_dict(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in state_dict.items() if name not in (CONFIG_BUFFER, *MARKERS)}

    def process_unet_state_dict_for_saving(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self.sora is not None
        marked = {**state_dict, **MARKERS, CONFIG_BUFFER: config_tensor(self.sora)}
        return super().process_unet_state_dict_for_saving(marked)


def register() -> None:
    """Put the family first: others recognise their files by less certain signs."""
    families = comfy.supported_models.models
    if not any(family.__name__ == SoraFamily.__name__ for family in families):
        families.insert(0, SoraFamily)
