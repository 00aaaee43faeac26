"""The inputs that every sampling block has: declared once, explained by each block for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.samplers
from comfy_api.latest import io

from sora_core.pipeline import DEFAULT_GUIDANCE, DEFAULT_STEPS

from .schema import chosen

UNFINISHED = ("dpm_fast", "dpm_adaptive")
"""Samplers that never take the step from the last noise level to 0, and leave that much noise in the video."""


def seed_input(tooltip: str = "Another seed is another video; the same seed is the same video.") -> Any:
    """Which noise a video begins as."""
    return io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip=tooltip)


def steps_input(
    tooltip: str = "How many steps; more are slower and finer: 8 do for Sora Mini, large models want 20 or more.",
) -> Any:
    """How often the model is asked."""
    return io.Int.Input("steps", default=DEFAULT_STEPS, min=1, max=1000, tooltip=tooltip)


def guidance_input(
    tooltip: str = "How strictly the prompt is followed; 1 ignores the negative prompt and is up to twice as fast.",
) -> Any:
    """How much farther than the model the sampler goes towards the prompt (Ho & Salimans, 2022)."""
    return io.Float.Input("guidance", default=DEFAULT_GUIDANCE, min=0.0, max=100.0, step=0.1, tooltip=tooltip)


def sampler_names() -> list[str]:
    """ComfyUI's samplers that finish a video, with those that other packs have added by now."""
    return [name for name in comfy.samplers.SAMPLER_NAMES if name not in UNFINISHED]


def sampler_of(name: str) -> Any:
    """The SAMPLER of a name. Raises ValueError for one that is not offered."""
    return comfy.samplers.sampler_object(chosen("sampler", name, sampler_names()))


def sampler_input(combo: Callable[..., Any] = io.Combo.Input) -> Any:
    """One of ComfyUI's samplers."""
    return combo(
        "sampler",
        options=sampler_names(),
        default="dpmpp_2m",
        tooltip="How each step is taken: dpmpp_2m is good in few steps, euler is the simplest.",
    )


def sigmas_input() -> Any:
    """Another scheduler's noise levels."""
    return io.Sigmas.Input(
        "sigmas",
        optional=True,
        tooltip="Noise levels of any scheduler, in place of Sora's own; steps is then not used.",
    )
