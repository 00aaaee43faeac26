"""Known frames: one triple (clean, mask, sigma) is every way to prompt with images and videos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..patches import patchify
from .samplers import Denoiser


@dataclass(frozen=True)
class Known:
    """What is given: a clean latent `b c t h w` and a mask `b 1 t h w`, 0 = given, 1 = generate, between = partly."""

    clean: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        if self.mask.shape[2:] != self.clean.shape[2:] or self.mask.shape[1] != 1:
            raise ValueError(
                f"the mask is {tuple(self.mask.shape)}; for a latent of {tuple(self.clean.shape)} it must be b 1 t h w"
            )

    def check_shape(self, dims: tuple[int, ...]) -> None:
        """Raise ValueError unless this belongs to videos whose latents are `c t h w` = `dims`."""
        if self.clean.shape[1:] != dims:
            raise ValueError(
                f"what is given is a latent of {tuple(self.clean.shape[1:])} (c, t, h, w), but the video's is {dims};"
                " give frames of its size and duration"
            )

    @property
    def given(self) -> list[bool]:
        """Which latent frames are given whole, in every video."""
        return [bool(given) for given in (self.mask == 0).transpose(0, 2).flatten(1).all(1)]


def token_sigma(sigma: Tensor, mask: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Noise level of each patch, `b n`: the global `sigma` `b` times the mask `b 1 t h w` averaged over the patch."""
    return sigma[:, None] * patchify(mask.float(), patch).mean(-1)


def with_known(model: Callable[[Tensor, Tensor], Tensor], known: Known, patch: tuple[int, int, int]) -> Denoiser:
    """A denoiser that sees the given cells at their own noise level and returns them unchanged.

    `model(x, sigma)` must take one level per patch, `b n`.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        mask = known.mask.to(x)
        clean = known.clean.to(x)
        # On the straight path a share m of the noisy latent and 1 - m of the clean one is exactly at level m sigma.
        seen = mask * x + (1 - mask) * clean
        denoised = model(seen, token_sigma(sigma, mask, patch))
        return mask * denoised + (1 - mask) * clean

    return denoise
