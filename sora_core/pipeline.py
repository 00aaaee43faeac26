"""The whole system as one object: a prompt and a shape in, a latent and then frames out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import BUNDLED, build_parts, read_checkpoint
from .config import SoraConfig
from .diffusion.conditioning import Known, with_known
from .diffusion.guidance import guide
from .diffusion.noise import draw_noise
from .diffusion.samplers import SAMPLERS, Callback, Denoiser
from .diffusion.schedules import schedule
from .dit import DiT
from .framing import framed
from .pixels import check_video
from .products import keep_pages
from .shapes import LatentShape, VideoShape, check_fps
from .stored_latent import StoredLatent
from .text.encoder import TextEncoder
from .vae import VideoVAE

DEFAULT_STEPS = 8
"""The fewest whose score on the bundled model is within two points of 50 steps' (`sora evaluate`)."""
DEFAULT_GUIDANCE = 3.0


class Sora:
    """A loaded model: `vae`, `text` and `dit` that belong together."""

    def __init__(self, config: SoraConfig, dit: DiT, vae: VideoVAE, text: TextEncoder):
        self.config, self.dit, self.vae, self.text = config, dit.eval(), vae.eval(), text.eval()

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Sora:
        """Load a checkpoint, by default the bundled one, in a precision and on a device.

        Latents and frames outside of the networks are wherever they come from, noise on the CPU in float32.
        Raises what `read_checkpoint` raises.
        """
        keep_pages()
        checkpoint = read_checkpoint(BUNDLED if path is None else Path(path))
        modules = build_parts(checkpoint.config, device="meta")
        for part, module in modules.items():
            # Half-precision sums over the parts of words would lose what tells words apart.
            kind = torch.float32 if part == "text" else dtype
            weights = {name: value.to(device, kind) for name, value in checkpoint.parts[part].items()}
            module.load_state_dict(weights, assign=True)
            module.requires_grad_(False)
            if isinstance(module, VideoVAE):
                module.restore_buffers(device)  # what is computed rather than stored had no storage yet
        return cls(checkpoint.config, **modules)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self.dit.entry.weight.device

    @property
    def vae_weight(self) -> Tensor:
        """A weight of the compression network: what it reads is brought to this one's device and kind of numbers."""
        return self.vae.decoder.shortcut.conv.weight

    def latent_shape(self, shape: VideoShape, *, circular: bool = False) -> LatentShape:
        """The latent that holds a video of `shape`, or a loop if `circular`, whose latent frames are all whole ones.

        Raises ValueError above the token budget.
        """
        cells = self.config.vae.compression
        latent = shape.latent(cells, self.config.vae.channels, self.config.dit.patch)
        return replace(latent, frames=math.ceil(shape.num_frames / cells.time)) if circular else latent

    def denoiser(
        self, prompts: list[str], *, fps: float, start: float = 0.0, continued: bool = False, circular: bool = False
    ) -> Denoiser:
        """`model(x, sigma)` for one prompt per sample; sigma is `b` or one level per patch, `b n`.

        `start` and `continued` are for a part of a longer video: see `DiT.forward`.
        Raises ValueError for one text instead of a list, and what `check_fps` raises.
        """
        if isinstance(prompts, str):
            raise ValueError(f"prompts are {prompts!r}; give a list, one for each sample")
        check_fps(fps)
        states, mask = self.text.encode(prompts)
        weight = self.dit.entry.weight

        @cache
        def words(dtype: torch.dtype) -> Tensor:
            return self.dit.refiner(states.to(dtype), mask)  # the same at every step

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            clean = self.dit(
                x.to(weight), sigma.to(weight.device), words(weight.dtype), None, fps=fps, start=start,
                continued=continued, circular=circular,
            )  # fmt: skip
            return clean.to(x)

        return denoise

    @torch.inference_mode()
    def sample(
        self,
        prompts: list[str],
        shape: VideoShape,
        seeds: list[int],
        *,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        rescale: float = 0.0,
        interval: tuple[float, float] | None = None,
        sampler: str = "dpmpp_2m",
        known: Known | None = None,
        circular: bool = False,
        callback: Callback | None = None,
    ) -> Tensor:
        """A latent `b c t h w` for prompts and seeds (one each per sample); `known` holds given frames.

        Guidance acts in the `interval` of noise levels, or in those of `guided_levels`.
        Raises ValueError for an unknown sampler, no steps, prompts and seeds of different number, or given frames of
        another shape, and what `guide` raises.
        """
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"prompts are {prompts!r}; give a list of one or more, and one seed for each")
        if len(prompts) != len(seeds):
            raise ValueError(f"there are {len(prompts)} prompts and {len(seeds)} seeds; give one seed per prompt")
        if sampler not in SAMPLERS:
            raise ValueError(f"there is no sampler {sampler!r}; choose {', '.join(SAMPLERS)}")
        latent = self.latent_shape(shape, circular=circular)
        patch = self.config.dit.patch
        t, h, w = latent.grid(patch)
        conditional = self.denoiser(prompts, fps=shape.fps, circular=circular)
        unconditional = self.denoiser([negative] * len(prompts), fps=shape.fps, circular=circular)
        model = guide(conditional, unconditional, guidance, interval=interval or self.guided_levels(), rescale=rescale)
        if known is not None:
            known.check_shape(latent.dims)
            model = with_known(model, known, patch)
        sigmas = self.schedule(steps, t * h * w)
        return SAMPLERS[sampler](model, draw_noise(latent, seeds), sigmas, callback)

    def guided_levels(self, start: float = 1.0) -> tuple[float, float]:
        """The noise levels that guidance acts on: all of them where something is changed that is there already."""
        return (self.config.dit.guided_above if start == 1 else 0.0, 1.0)

    def schedule(self, steps: int, tokens: int, *, start: float = 1.0) -> Tensor:
        """The noise levels to sample along with this model: `steps + 1`, see `schedules.schedule`."""
        return schedule(steps, tokens, start=start, lowest=self.config.dit.lowest_sigma)

    @torch.inference_mode()
    def encode(self, video: Tensor) -> Tensor:
        """The latent `b c t h w` of whole cells of video, `b 3 t h w` in [0, 1].

        Raises what `check_video` and `VideoVAE.encode` do.
        """
        check_video(video)
        return self.vae.encode(video.to(self.vae_weight)).to(video)

    @torch.inference_mode()
    def frames(self, latent: Tensor, *, circular: bool = False, given: Sequence[bool] = ()) -> Tensor:
        """All frames `b 3 t h w` of whole latents at once, where the latents are; of loops if `circular`.

        `given` says which latent frames of what is no loop were given (`Known.given`): generated ones join on to them.
        """
        x = latent.to(self.vae_weight)
        return (self.vae.decode_circular(x) if circular else self.vae.decode(x, given=given)).to(latent)

    @torch.inference_mode()
    def decode(
        self, latent: Tensor | StoredLatent, shape: VideoShape, chunk: int | None = None, *, given: Sequence[bool] = ()
    ) -> Iterator[Tensor]:
        """Frames of `shape` from the latent of one video (`1 c t h w`), as chunks `3 t h w` in [0, 1], streamed.

        `chunk` is the most latent frames at a time; by default as many as work comfortably. `given` as in `frames`.
        Raises ValueError for the latents of several videos, for one that holds less than `shape`, and for no `chunk`.
        """
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk is {chunk}; it must be at least 1 latent frame")
        if len(latent.shape) != 5 or latent.shape[0] != 1:
            raise ValueError(
                f"the latent is {tuple(latent.shape)}; it must be that of one video, (1, c, t, h, w): latent[i : i + 1]"
            )
        cells, (t, h, w) = self.config.vae.compression, latent.shape[2:]
        held = (cells.num_frames(t), h * cells.space, w * cells.space)
        if held[0] < shape.num_frames or not shape.lies_in(*held[1:]):
            raise ValueError(
                f"the latent holds {held[0]} frames of {held[2]}x{held[1]}; {shape.num_frames} of"
                f" {shape.width}x{shape.height} are asked for: give the shape that it was made for"
                " (the latent of a loop is for frames(latent, circular=True))"
            )
        left = shape.num_frames
        for frames in self.vae.decode_chunks(latent.to(self.vae_weight), chunk, given=given):
            frames = framed(frames[:, :, :left], shape)[0].float().cpu()
            left -= frames.shape[1]
            if frames.shape[1]:
                yield frames
