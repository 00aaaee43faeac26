"""What any native VAE, model and latent of ComfyUI says about itself, asked without ever naming a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sora_core.shapes import Cells, Compression, VideoShape

from .compat import is_nested

PATCH = (1, 2, 2)
"""Patches that every native video model can be cut into; grids are rounded to them."""
SIZE = "sora_size"
"""Key of a LATENT under which the size that was asked for travels to the decoder."""
Latent = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class NativeCompression(Compression):
    """The compression of a native VAE, whose frame counts may follow any rule."""

    down: Callable[[int], int]
    """Latent frames that the VAE makes of so many frames; it may drop some."""
    up: Callable[[int], int]
    """Frames that the VAE makes of so many latent frames."""

    def latent_frames(self, num_frames: int) -> int:
        count = max(1, int(self.down(num_frames)))
        while self.num_frames(count) < num_frames:
            count += 1
        return count

    def num_frames(self, latent_frames: int) -> int:
        return max(1, int(self.up(latent_frames)))


def compression(vae: Any) -> NativeCompression:
    """Frames and pixels per latent cell. Raises ValueError for a VAE of sound, which has no frames, or for none."""
    if vae is None or getattr(vae, "first_stage_model", vae) is None:
        raise ValueError(
            "the checkpoint loader found no VAE that ComfyUI knows in its file: take the VAE of Load Sora Model for"
            " Sora's files, or of Load VAE"
        )
    if vae.latent_dim not in (2, 3):
        raise ValueError(f"this VAE has {vae.latent_dim}-dimensional latents: connect one for images or video")
    channels = getattr(vae, "output_channels", 3)
    if channels < 3:  # as ACE-Step's, whose latents of sound have two dimensions
        raise ValueError(f"this VAE makes sound of {channels} channels: connect one for images or video")
    space = int(vae.spacial_compression_decode())
    if vae.latent_dim == 2:
        return NativeCompression(time=1, space=space, down=lambda n: n, up=lambda n: n)
    up, down = vae.upscale_ratio[0], vae.downscale_ratio[0]
    return NativeCompression(time=vae.temporal_compression_decode() or 1, space=space, down=down, up=up)


def patch_of(model: Any) -> tuple[int, int, int]:
    """The patch of a model's transformer along `t h w`."""
    network = model.get_model_object("diffusion_model")
    # LTX-Video cuts patches in a part of its own.
    patch = getattr(network, "patch_size", None) or getattr(getattr(network, "patchifier", None), "patch_size", PATCH)
    if isinstance(patch, int):
        return 1, patch, patch
    sizes = tuple(int(size) for size in patch)
    return (1, *sizes) if len(sizes) == 2 else sizes[-3:]  # type: ignore[return-value]


def count_tokens(model: Any, samples: Tensor) -> int:
    """Patches of one sample of a latent `b c t h w` or `b c h w`."""
    sizes = samples.shape[2:] if samples.ndim == 5 else (1, *samples.shape[2:])
    return math.prod(math.ceil(size / p) for size, p in zip(sizes, patch_of(model), strict=True))


def samples_of(latent: Latent) -> Tensor:
    """The tensor of a LATENT. Raises ValueError when it holds several streams, nothing, or what is no number."""
    samples = latent["samples"]
    if is_nested(samples):
        raise ValueError("this latent holds several streams, such as video with sound: separate the video first")
    if samples.ndim not in (4, 5) or not samples.numel():
        raise ValueError(
            f"this latent is {tuple(samples.shape)}; it must be (batch, channels, frames, height, width), or without"
            " frames for images, and each at least 1"
        )
    if not torch.isfinite(samples).all():
        raise ValueError("this latent holds NaN or infinite numbers: the block that made it failed")
    return samples


def check_made(samples: Tensor) -> None:
    """Raise ValueError for a grid that nothing was made of yet."""
    if not samples.any():
        raise ValueError(
            "this latent is empty, with no video in it yet: connect a sampled one, or a video by way of Sora Encode"
            " Video"
        )


def noise_mask_of(latent: Latent) -> Tensor | None:
    """What a LATENT lets change, in whatever shape ComfyUI takes. Raises ValueError for the mask of another duration.

    Stock blocks that cut or join latents in time leave the mask as it was. One of yes and no, as some blocks make it,
    becomes numbers, which alone ComfyUI can resize.
    """
    mask, samples = latent.get("noise_mask"), latent["samples"]
    if mask is not None and mask.ndim == samples.ndim == 5 and mask.shape[2] not in (1, samples.shape[2]):
        raise ValueError(
            f"the noise mask says which of {mask.shape[2]} latent frames are given, but the latent has"
            f" {samples.shape[2]}: another block has cut or joined it since. Do that before frames are placed, or give"
            " the latent a new mask with Set Latent Noise Mask"
        )
    return None if mask is None else mask.float()


def index_of(video: Any) -> Latent:
    """Which videos of a batch a LATENT holds, by which each keeps its noise."""
    return {"batch_index": video["batch_index"]} if isinstance(video, dict) and "batch_index" in video else {}


def with_size(samples: Tensor, shape: VideoShape) -> Latent:
    """A LATENT that remembers the size that was asked for."""
    return {"samples": samples, SIZE: asdict(shape)}


def size_of(latent: Latent) -> VideoShape | None:
    """The size that was asked for, if this latent was made by a block that knows it."""
    return VideoShape(**latent[SIZE]) if SIZE in latent else None


def fitting_size(latent: Latent, cells: Cells) -> VideoShape | None:
    """The size that was asked for, unless another block has since changed the latent to one that does not hold it."""
    size, samples = size_of(latent), samples_of(latent)
    if size is None:
        return None
    frames = 1 if samples.ndim == 4 else samples.shape[2]
    odd = any(side % patch for side, patch in zip(samples.shape[-2:], PATCH[1:], strict=True))
    padded = size.padded(cells, (1, 1, 1) if odd else PATCH)
    expected = (cells.latent_frames(padded.num_frames), padded.height // cells.space, padded.width // cells.space)
    return size if (frames, *samples.shape[-2:]) == expected else None
