"""Every question that has different answers in different versions of ComfyUI, from 0.3.75 on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.sampler_helpers
import torch
from comfy_api.latest import InputImpl
from torch import Tensor, nn


def new_patcher(network: nn.Module, load_device: torch.device, offload_device: torch.device) -> Any:
    """A model patcher of the kind that this ComfyUI uses for its own models; looked up late, as it may be replaced."""
    module = comfy.model_patcher
    kind = getattr(module, "CoreModelPatcher", module.ModelPatcher)
    return kind(network, load_device=load_device, offload_device=offload_device)


def comes_and_goes(patcher: Any) -> bool:
    """Whether a patcher is of the newer versions' dynamic ones, which read and cast weights when they are used."""
    return bool(getattr(patcher, "is_dynamic", bool)())


def reclaimable_memory(patcher: Any) -> int | None:
    """Bytes that work on a dynamic patcher's card can have: what is free, and what other models' weights give back.

    None for other patchers: for those, ComfyUI makes room before the work.
    """
    return int(patcher.get_free_memory(patcher.load_device)) if comes_and_goes(patcher) else None


def load_weights(patcher: Any, weights: dict[str, Tensor]) -> None:
    """Give a patcher's network its weights; dynamic patchers want the file's tensors themselves."""
    patcher.model.load_state_dict(weights, assign=comes_and_goes(patcher))


def remember_dtypes(network: nn.Module) -> None:
    """Tell newer versions which precision each weight computes in."""
    archive = getattr(comfy.model_management, "archive_model_dtypes", None)
    if archive is not None:
        archive(network)


def fit_for_hooks(model: Any, *conditionings: Any) -> Any:
    """The model that samples prompts which bring hooks: newer versions load one anew for each clone without this."""
    has_hooks = getattr(comfy.sampler_helpers, "cond_has_hooks", None)
    if has_hooks is None or not comes_and_goes(model) or not any(map(has_hooks, conditionings)):
        return model
    return model.get_non_dynamic_delegate()


def weight_samples(patcher: Any, prefix: str = "") -> list[Tensor]:
    """The beginning of every weight as it was loaded, by which a network is known again; nothing large is read.

    Where it computes, weights may hold the LoRA of any clone, and newer versions give some another precision there.
    """
    found = []
    for place, module in patcher.model.named_modules():
        for leaf, value in module.named_parameters(recurse=False):
            name = f"{place}.{leaf}" if place else leaf
            if name.startswith(prefix):
                kept = patcher.backup[name].weight if name in patcher.backup else value
                found.append(kept.flatten()[:64].to(getattr(module, f"{leaf}_comfy_model_dtype", None) or kept.dtype))
    return found


def is_nested(samples: Tensor) -> bool:
    """Whether a latent holds several streams, such as video with sound."""
    return bool(getattr(samples, "is_nested", False))


def fitting_latent(model: Any, samples: Tensor, latent: dict[str, Any]) -> Tensor:
    """The samples of a LATENT; empty ones get the channels, dimensions and size that the model wants.

    Newer versions say in empty latents how large their cells were taken to be.
    """
    fix = comfy.sample.fix_empty_latent_channels
    ratios = ("downscale_ratio_spacial", "downscale_ratio_temporal")
    return fix(model, samples, **{name: latent[name] for name in ratios if name in latent and takes(fix, name)})


def to_intermediate(samples: Tensor) -> Tensor:
    """A result where ComfyUI keeps what travels between blocks, in the precision that it keeps it in."""
    management = comfy.model_management
    dtype = getattr(management, "intermediate_dtype", lambda: torch.float32)()
    return samples.to(device=management.intermediate_device(), dtype=dtype)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function or class of this ComfyUI knows an argument that other versions do not."""
    return name in inspect.signature(function).parameters


def trimmed_part(video: Any) -> tuple[float, float] | None:
    """Where in its file a VIDEO begins and how many seconds of it are shown, 0 for the rest; None if nobody can say."""
    window = getattr(video, "get_active_trim_window", None)
    return window() if window is not None else None


def is_edited(video: Any) -> bool:
    """Whether a VIDEO on file is cropped or resized as it is read, so that its file does not hold what it shows."""
    pending = getattr(video, "has_pending_frame_edits", None)
    if pending is not None:
        return bool(pending())
    if not hasattr(video, "as_cropped"):
        return False
    # The first versions that crop do not say that they do.
    return bool(video.get_dimensions() != InputImpl.VideoFromFile(video.get_stream_source()).get_dimensions())


def first_cell(window: Any) -> int:
    """The latent frame with which a context window begins; newer versions can put the one before it in front."""
    ahead = getattr(window, "causal_anchor_index", None)
    return window.index_list[0] if ahead is None else ahead
