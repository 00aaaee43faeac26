"""What the editing blocks share: images, videos and latents in, latents with given cells out, for any native VAE."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from sora_core.diffusion.conditioning import Known
from sora_core.editing.geometry import Geometry
from sora_core.editing.place import Encode, check_channels
from sora_core.framing import unframed
from sora_core.shapes import VideoShape
from sora_core.vae.chunks import whole_cells

from .comfy_model.vae import SoraVAE
from .movie import SOUND, sound_in
from .native import PATCH, Latent, compression, fitting_size, noise_mask_of, samples_of, size_of, with_size

OWN_RATE = (
    "0 takes the rate that a VIDEO or a Sora latent knows, 8 for images and other latents; a VIDEO of another rate is"
    " converted."
)
MOVIES_RATE = "0 takes the rate of a VIDEO, or 8 for images; VIDEOs of other rates are converted."
"""What `fps` does where one movie comes in, and where several do."""
MOVIE = (io.Image, io.Video)
"""Kinds of input that hold frames."""
COURSE = "sora_course"
"""Key of a LATENT under which the colours of a transition travel to Sora Fit Model."""


def movie_input(name: str, tooltip: str, *more: Any, optional: bool = False) -> Any:
    """An input for frames as IMAGE or VIDEO, or other kinds too."""
    return io.MultiType.Input(name, [*MOVIE, *more], tooltip=tooltip, optional=optional)


def fps_input(what: str = "the video", zero: str = OWN_RATE) -> Any:
    """The frame rate of frames that do not know their own."""
    return io.Float.Input(
        "fps",
        default=0.0,
        min=0.0,
        max=240.0,
        step=0.1,
        tooltip=f"Frames per second of {what}; {zero}",
    )


def geometry_of(vae: Any, samples: Tensor | None = None) -> Geometry:
    """The cells of a native VAE. Raises ValueError for one that does not know video.

    Every cell is a token by itself where `samples` are an odd number of cells high or wide, as stock blocks make them
    for models that take such.
    """
    cells = compression(vae)
    if vae.latent_dim != 3:
        raise ValueError("this VAE only knows images; connect the VAE of a video model")
    up, down = vae.upscale_ratio[0], vae.downscale_ratio[0]
    odd = samples is not None and any(size % PATCH[1] for size in samples.shape[-2:])
    return Geometry(
        channels=vae.latent_channels, space=cells.space, patch=1 if odd else PATCH[1],
        to_latent=lambda frames: int(down(frames)), to_frames=lambda cells: int(up(cells)),
    )  # fmt: skip


def encoder(vae: Any, tile: int | None = None) -> Encode:
    """Encodes `b 3 t h w` in [0, 1], of whole cells, with a native VAE, each video of the batch by itself.

    With a `tile`, frames are encoded in squares of so many latent cells that are blended; only VAEs of videos can.
    """

    def encode(video: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        frames = video.movedim(1, -1)  # b t h w 3
        if isinstance(vae, SoraVAE) and tile is None:
            cells = vae.sora.vae.compression
            videos = [whole_cells([one], cells, patch=1) for one in frames]
            return torch.cat([torch.cat(list(vae.encode_stream(video)), dim=2) for video in videos])
        if tile is not None:
            space = geometry_of(vae).space
            side, overlap = tile * space, max(1, tile // 4) * space
            encoded = [vae.encode_tiled(one, tile_x=side, tile_y=side, overlap=overlap) for one in frames]
            return torch.cat(encoded).float()
        if not vae.not_video:
            return torch.cat([vae.encode(one) for one in frames]).float()
        # Such VAEs take a batch of frames for images; with five dimensions they would crop time like space.
        whole = copy.copy(vae)
        whole.crop_input = False
        return torch.cat([whole.encode(one[None]) for one in frames]).float()

    return encode


def fitted(video: Tensor, height: int, width: int) -> Tensor:
    """`1 3 t h w` resized to cover `height` x `width` and cropped in the middle."""
    if video.shape[3:] == (height, width):
        return video
    return comfy.utils.common_upscale(video[0].movedim(1, 0), width, height, "lanczos", "center").movedim(0, 1)[None]


def shape_of(latent: Latent, geometry: Geometry, fps: float) -> VideoShape:
    """The video that a LATENT will become: what its grid was asked for, or all that its cells hold.

    Raises ValueError for several streams, images, or wrong channels.
    """
    samples = samples_of(latent)
    check_channels(geometry, samples)
    height, width = (size * geometry.space for size in samples.shape[3:])
    size = size_of(latent)
    whole = VideoShape(num_frames=geometry.num_frames(samples.shape[2]), height=height, width=width)
    return replace(fitting_size(latent, geometry) or whole, fps=fps or (size.fps if size else 8.0))


def known_of(latent: Latent) -> Known:
    """What a LATENT gives already: its samples and its noise mask as `b 1 t h w`."""
    samples = samples_of(latent).float()
    mask = noise_mask_of(latent)
    if mask is None:
        mask = torch.ones(1, 1, *samples.shape[2:], device=samples.device)
    mask = comfy.utils.reshape_mask(mask, (samples.shape[0], 1, *samples.shape[2:]))
    return Known(samples, mask.to(samples))


def expanded(known: Known, batch: int) -> Known:
    """The same given for each video of a batch."""
    return Known(*(part.expand(batch, *part.shape[1:]) for part in (known.clean, known.mask)))


def to_latent(known: Known, shape: VideoShape) -> Latent:
    """A LATENT with given cells that remembers the exact size of its video."""
    return {**with_size(known.clean, shape), "noise_mask": known.mask}


def sound_of(video: Any, fps: float) -> Latent:
    """Where the sound of a video is, for a latent of its frames; that of a LATENT goes with its own rate alone."""
    if isinstance(video, dict):
        size = size_of(video)
        return {SOUND: video[SOUND]} if SOUND in video and size is not None and size.fps == fps else {}
    return {} if isinstance(video, Tensor) else sound_in(video)


def sound_beside(video: Any, fps: float, begins: int, count: int) -> Latent:
    """`sound_of` a video whose `count` frames begin so many frames after the latent, or, below 0, before it."""
    about = sound_of(video, fps)
    return {SOUND: about[SOUND].later(begins / fps, count / fps)} if about else {}


def region_of(
    mask: Tensor | None, shape: VideoShape, height: int, width: int, num_frames: int = 1, *, stretched: bool = False
) -> Tensor | None:
    """A MASK for a video of `shape` over the pixels of its latent, `height` x `width`.

    It is `1 h w`, or `1 t h w` if there is one for each of `num_frames`.
    Like the frames that it is for, it is cropped in the middle where its shape is another, or `stretched`.
    The log tells of a black one, as Load Image gives it beside every image without transparency.
    Raises ValueError for another number of masks.
    """
    if mask is None:
        return None
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    if len(mask) not in (1, num_frames):
        each = f", or {num_frames}, one for each frame" if num_frames > 1 else ""
        raise ValueError(f"the mask holds {len(mask)} pictures; give one for the whole video{each}")
    if not mask.any():
        logging.warning("Sora: the mask is black everywhere, which chooses nothing: disconnect it to choose everything")
    crop = "disabled" if stretched else "center"
    mask = comfy.utils.common_upscale(mask, shape.width, shape.height, "bilinear", crop).clamp(0, 1)
    mask = unframed(mask.movedim(1, 0)[None], shape, height, width)[0, 0]
    return mask if len(mask) == 1 else mask[None]
