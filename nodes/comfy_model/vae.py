"""Sora's video compression network as ComfyUI's VAE, with a decoder that also streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import comfy.model_management
import comfy.ops
import comfy.sd
import torch
from torch import Tensor

from sora_core.checkpoint import CONFIG_BUFFER, config_tensor
from sora_core.config import SoraConfig, VAEConfig
from sora_core.vae import StreamState, VideoVAE
from sora_core.vae.streaming import SHARE

from ..compat import load_weights, new_patcher, reclaimable_memory, remember_dtypes


class PaddedVideoVAE(VideoVAE):
    """Takes any number of frames, as stock blocks give them: the last one is repeated up to a whole latent frame."""

    def encode(self, video: Tensor, state: StreamState | None = None) -> Tensor:
        if state is None:
            cell = self.config.compression
            missing = cell.num_frames(cell.latent_frames(video.shape[2])) - video.shape[2]
            video = torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
        return super().encode(video, state)


def _identity(image: Tensor) -> Tensor:
    return image


class SoraVAE(comfy.sd.VAE):
    """ComfyUI's VAE around `VideoVAE`; pixels are in [0, 1] on both sides."""

    def __init__(self, config: SoraConfig, weights: dict[str, Tensor]):
        # The smallest VAE that ComfyUI has sets every attribute that the installed version wants.
        super().__init__(sd={"pixel_space_vae": torch.tensor(1.0)})
        self.sora = config
        self._describe(config.vae)
        self.vae_dtype = comfy.model_management.vae_dtype(self.device, self.working_dtypes)
        network = PaddedVideoVAE(config.vae, operations=comfy.ops.disable_weight_init).eval()
        network.requires_grad_(False).to(self.vae_dtype)
        remember_dtypes(network)
        self.first_stage_model = network
        self.patcher = new_patcher(network, self.device, comfy.model_management.vae_offload_device())
        load_weights(self.patcher, weights)
        self.size = None
        self.model_size()

    def _describe(self, config: VAEConfig) -> None:
        cell = config.compression
        self.latent_channels, self.latent_dim, self.output_channels = config.channels, 3, 3
        self.upscale_ratio = (lambda latent: max(0, cell.num_frames(latent)), cell.space, cell.space)
        self.downscale_ratio = (cell.latent_frames, cell.space, cell.space)
        self.upscale_index_formula = self.downscale_index_formula = (cell.time, cell.space, cell.space)
        # ComfyUI 0.18 and later ignore what these return, so the network itself does the mapping.
        self.process_input = self.process_output = _identity
        self.working_dtypes = [torch.float16, torch.bfloat16, torch.float32]
        self.disable_offload = False
        volume = cell.time * cell.space**2
        self.memory_used_encode = lambda shape, dtype: _memory(config, config.encoder_width[0], shape, dtype)
        self.memory_used_decode = lambda shape, dtype: volume * _memory(config, config.decoder_width[0], shape, dtype)

    def decode_stream(self, latent: Tensor, chunk: int, given: Sequence[bool] = ()) -> Iterator[Tensor]:
        """Frames `1 3 t h w` in [0, 1] of one video `1 c t h w`, `chunk` latent frames at a time.

        `given` says which latent frames were given: generated ones join on to them.
        """
        shape = (*latent.shape[:2], min(chunk, latent.shape[2]), *latent.shape[3:])
        memory = self.memory_used_decode(shape, self.vae_dtype)
        comfy.model_management.load_models_gpu([self.patcher], memory_required=memory)
        latent = latent.to(self.device, self.vae_dtype)
        for frames in self.first_stage_model.decode_chunks(latent, chunk, given=given, budget=self._budget()):
            yield frames.to(self.output_device, torch.float32)

    def encode_stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Latents `1 c t h w` of one video in chunks `1 3 t h w` in [0, 1], as `encode_chunks` wants them."""

        def placed() -> Iterator[Tensor]:
            for number, chunk in enumerate(chunks):
                if not number:
                    memory = self.memory_used_encode(chunk.shape, self.vae_dtype)
                    comfy.model_management.load_models_gpu([self.patcher], memory_required=memory)
                yield chunk.to(self.device, self.vae_dtype)

        for latent in self.first_stage_model.encode_chunks(placed(), budget=self._budget()):
            yield latent.to(self.output_device, torch.float32)

    def _budget(self) -> int | None:
        free = reclaimable_memory(self.patcher)
        return None if free is None else int(free * SHARE)

    def get_sd(self) -> dict[str, Tensor]:
        return {**super().get_sd(), CONFIG_BUFFER: config_tensor(self.sora)}


def _memory(config: VAEConfig, width: int, shape: tuple[int, ...], dtype: torch.dtype) -> float:
    """Bytes for one pixel at each place of `b c t h w`: ten copies of the fine level's channels, and the pixel."""
    t, h, w = config.wavelet
    pixels = shape[-3] * shape[-2] * shape[-1]
    return pixels * (10 * width / (t * h * w) + 12) * comfy.model_management.dtype_size(dtype)
