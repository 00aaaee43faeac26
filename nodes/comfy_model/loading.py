"""From one checked file to ComfyUI's MODEL, CLIP and VAE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.sd
import torch

from sora_core.checkpoint import CONFIG_BUFFER, MARKERS, PREFIXES, config_tensor, read_checkpoint
from sora_core.products import keep_pages

from ..compat import comes_and_goes, takes
from .vae import SoraVAE

DTYPES = {"automatic": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(path: Path, dtype: str = "automatic", disable_dynamic: bool = False) -> tuple[Any, Any, SoraVAE]:
    """MODEL, CLIP and VAE of a model file; `dtype` is the transformer's. Raises what `read_checkpoint` raises.

    ComfyUI's own loader places, casts and quantises the weights; it recognises them because their family is registered.
    Newer versions load each of them anew to copy it: to another device, or, with `disable_dynamic`, to weights that do
    not come and go, which compilers and hooks want.
    """
    keep_pages()
    options = {"dtype": DTYPES[dtype]} if DTYPES[dtype] is not None else {}
    guess = comfy.sd.load_state_dict_guess_config
    static = {"disable_dynamic": disable_dynamic} if takes(guess, "disable_dynamic") else {}
    # Blocks run in inference mode, and what is made there could not be trained through: Train LoRA does.
    with torch.inference_mode(False), torch.no_grad():
        checkpoint = read_checkpoint(path)
        tensors = {
            PREFIXES[part] + name: value
            for part, weights in checkpoint.parts.items()
            for name, value in weights.items()
        }
        marks = {**MARKERS, CONFIG_BUFFER: config_tensor(checkpoint.config)}
        tensors |= {PREFIXES["dit"] + name: value for name, value in marks.items()}
        model, clip, *_ = guess(tensors, output_vae=False, model_options=options, **static)
        if not comes_and_goes(model):
            # Newer versions leave some weights in the file's precision, and then nobody casts them.
            model.model.diffusion_model.to(model.model.get_dtype())
    vae = SoraVAE(checkpoint.config, checkpoint.parts["vae"])
    for part, patcher in enumerate((model, clip.patcher, vae.patcher)):
        patcher.cached_patcher_init = (patchers, (path, dtype), part)
    return model, clip, vae


def patchers(path: Path, dtype: str, disable_dynamic: bool = False) -> tuple[Any, Any, Any]:
    """What holds the weights of MODEL, CLIP and VAE, see `load`."""
    model, clip, vae = load(path, dtype, disable_dynamic)
    return model, clip.patcher, vae.patcher
