"""Samplers: plain functions over `model(x, sigma) -> denoised` that walk a noisy latent down a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .process import to_velocity

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""`model(x, sigma)` with x `b c t h w` and sigma `b` gives the clean latent `b c t h w`."""
Callback = Callable[[dict[str, Any]], None]
"""Called once in each step with step, steps, sigma, x, which is the latent at sigma, and the denoised that it gave;
raising from it stops the sampling."""


def _levels(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.to(x).expand(x.shape[0])


def _report(callback: Callback | None, step: int, sigmas: Tensor, x: Tensor, denoised: Tensor) -> None:
    if callback is not None:
        callback({"step": step, "steps": len(sigmas) - 1, "sigma": float(sigmas[step]), "x": x, "denoised": denoised})


def euler(model: Denoiser, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
    """First-order steps along the straight path."""
    for i in range(len(sigmas) - 1):
        denoised = model(x, _levels(sigmas[i], x))
        _report(callback, i, sigmas, x, denoised)
        x = denoised + (x - denoised) * (sigmas[i + 1] / sigmas[i])
    return x


def heun(model: Denoiser, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
    """Second-order steps that look once ahead (Karras et al., 2022, algorithm 1); two evaluations a step."""
    for i in range(len(sigmas) - 1):
        here, there = _levels(sigmas[i], x), _levels(sigmas[i + 1], x)
        denoised = model(x, here)
        _report(callback, i, sigmas, x, denoised)
        if sigmas[i + 1] == 0:
            return denoised  # exactly, so that given frames stay what they are
        velocity = to_velocity(x, denoised, here)
        ahead = x + (sigmas[i + 1] - sigmas[i]) * velocity
        velocity = (velocity + to_velocity(ahead, model(ahead, there), there)) / 2
        x = x + (sigmas[i + 1] - sigmas[i]) * velocity
    return x


def dpmpp_2m(model: Denoiser, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
    """Second-order multistep, one evaluation a step (Lu et al., DPM-Solver++, 2022).

    Its time is -log(sigma), as in ComfyUI, so that a seed makes the same video there; being finite at sigma = 1, it
    makes the second step second order already. The last step, to 0, takes the prediction as it is.
    """
    previous: Tensor | None = None
    time = -sigmas.cpu().double().log()  # some cards have no such numbers
    for i in range(len(sigmas) - 1):
        denoised = model(x, _levels(sigmas[i], x))
        _report(callback, i, sigmas, x, denoised)
        estimate = denoised
        if previous is not None and sigmas[i + 1] > 0:
            ratio = (time[i] - time[i - 1]) / (time[i + 1] - time[i])
            estimate = denoised + (denoised - previous) / (2 * float(ratio))
        x = estimate.lerp(x, float(sigmas[i + 1] / sigmas[i]))
        previous = denoised
    return x


SAMPLERS: dict[str, Callable[..., Tensor]] = {"euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m}
