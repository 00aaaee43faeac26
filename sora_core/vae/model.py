"""The video compression network: pixels to spacetime latents and back, causal in time, chunk by chunk or whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..config import VAEConfig
from ..stored_latent import StoredLatent
from .deblock import check_given, deblock
from .layers import CausalConv3d, ResBlock, StreamState, channel_norm, fold_cell, unfold_cell
from .streaming import decode_stream, encode_stream
from .wavelet import block_matrix, fold, unfold


class Encoder(nn.Module):
    """Wavelet coefficients at the fine level -> latents; a linear shortcut carries the principal components.

    `gain` brings every coefficient to unit scale for the layers: means are many times larger than details.
    Without layers (depth 0 at both levels) the shortcut is all there is.
    """

    def __init__(self, config: VAEConfig, coefficients: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        kwargs = dict(factory, operations=operations)
        fine, trunk = config.encoder_width
        self.shortcut = CausalConv3d(8 * coefficients, config.channels, (1, 1, 1), **kwargs)
        self.linear = not any(config.encoder_depth)
        if self.linear:
            return
        self.gain = nn.Parameter(torch.ones(coefficients, dtype=factory.get("dtype"), device=factory.get("device")))
        self.entry = CausalConv3d(coefficients, fine, (1, 3, 3), **kwargs)
        self.fine = nn.ModuleList(ResBlock(fine, **kwargs) for _ in range(config.encoder_depth[0]))
        self.down = CausalConv3d(8 * fine, trunk, (1, 1, 1), **kwargs)
        self.trunk = nn.ModuleList(ResBlock(trunk, **kwargs) for _ in range(config.encoder_depth[1]))
        self.exit = CausalConv3d(trunk, config.channels, (1, 3, 3), **kwargs)

    def forward(self, x: Tensor, state: StreamState | None) -> Tensor:
        shortcut = self.shortcut(fold_cell(x))
        if self.linear:
            return shortcut
        x = self.entry(x * self.gain.to(x)[:, None, None, None])
        for block in self.fine:
            x = block(x, state)
        x = self.down(fold_cell(x))
        for block in self.trunk:
            x = block(x, state)
        return shortcut + self.exit(channel_norm(x))


class Decoder(nn.Module):
    """Latents -> wavelet coefficients at the fine level, the mirror image of `Encoder`."""

    def __init__(self, config: VAEConfig, coefficients: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        kwargs = dict(factory, operations=operations)
        fine, trunk = config.decoder_width
        self.gain = nn.Parameter(torch.ones(config.channels, dtype=factory.get("dtype"), device=factory.get("device")))
        self.entry = CausalConv3d(config.channels, trunk, (3, 3, 3), **kwargs)
        self.trunk = nn.ModuleList(ResBlock(trunk, **kwargs) for _ in range(config.decoder_depth[1]))
        self.up = CausalConv3d(trunk, 8 * fine, (1, 1, 1), **kwargs)
        self.fine = nn.ModuleList(ResBlock(fine, **kwargs) for _ in range(config.decoder_depth[0]))
        self.exit = CausalConv3d(fine, coefficients, (1, 3, 3), **kwargs)
        self.shortcut = CausalConv3d(config.channels, 8 * coefficients, (1, 1, 1), **kwargs)

    def forward(self, z: Tensor, state: StreamState | None) -> Tensor:
        x = self.entry(z * self.gain.to(z)[:, None, None, None], state)
        for block in self.trunk:
            x = block(x, state)
        x = unfold_cell(self.up(x))
        for block in self.fine:
            x = block(x, state)
        return unfold_cell(self.shortcut(z)) + self.exit(channel_norm(x))


class VideoVAE(nn.Module):
    """Causal spatio-temporal autoencoder. Video is `b 3 t h w` in [0, 1]; a latent has one global unit scale.

    The first frame is treated as the last of a cell of equal frames, so the latent of an image is the first latent
    of every video that begins with it, and every latent cell stands for the same number of frames.
    """

    wavelet: Tensor

    def __init__(self, config: VAEConfig, *, operations: Any = nn, dtype: Any = None, device: Any = None):
        super().__init__()
        self.config = config
        factory = {"operations": operations, "dtype": dtype, "device": device}
        block = config.wavelet
        coefficients = 3 * block[0] * block[1] * block[2]
        self.encoder = Encoder(config, coefficients, **factory)
        self.decoder = Decoder(config, coefficients, **factory)
        self.register_buffer("wavelet", block_matrix(block), persistent=False)

    def restore_buffers(self, device: Any) -> None:
        """Compute again what is not stored, after the network was built without storage."""
        self.wavelet = block_matrix(self.config.wavelet).to(device)

    def latent_rgb(self) -> tuple[Tensor, Tensor]:
        """The linear map from a latent cell to its mean colour in [-1, 1]: factors `c 3` and bias `3`."""
        conv = self.decoder.shortcut.conv
        rows = conv.weight.detach().float().flatten(1).unflatten(0, (8, 3, -1))[:, :, 0]  # first Haar vector: the mean
        size = self.wavelet.shape[0] ** 0.5
        bias = conv.bias.detach().float().unflatten(0, (8, 3, -1))[:, :, 0]
        return rows.mean(0).T / size, bias.mean(0) / size

    def initialise(self, generator: torch.Generator) -> None:
        """Start as the linear shortcut alone: every residual branch and both exits begin at zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                bound = module.weight[0].numel() ** -0.5
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                if module.bias is not None:
                    nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        for module in self.modules():
            if isinstance(module, ResBlock):
                nn.init.zeros_(module.space.conv.weight)
                nn.init.zeros_(module.space.conv.bias)
        for side in (self.decoder,) if self.encoder.linear else (self.encoder, self.decoder):
            nn.init.zeros_(side.exit.conv.weight)
            nn.init.zeros_(side.exit.conv.bias)

    def coefficients(self, video: Tensor, *, first: bool = True) -> Tensor:
        """Haar coefficients of a video, `b 3 t h w` -> `b c t' h' w'`; `first` says that it starts the clip."""
        video = video * 2 - 1
        if first:
            lead = video[:, :, :1].expand(-1, -1, self.config.compression.time - 1, -1, -1)
            video = torch.cat([lead, video], dim=2)
        x = fold(video, self.config.wavelet, self.wavelet.to(video))
        return x.contiguous(memory_format=torch.channels_last_3d)

    def encode(self, video: Tensor, state: StreamState | None = None) -> Tensor:
        """`b 3 t h w` in [0, 1] -> `b c 1+(t-1)/4 h/8 w/8` (for 4x8x8).

        With a `state`, the first call takes 1 + 4k frames and every later call 4k frames that continue it.
        Raises ValueError for sizes that are not whole cells.
        """
        first = state is None or not state.started
        cell, frames = self.config.compression, video.shape[2] - 1 if first else video.shape[2]
        if video.shape[1] != 3 or frames % cell.time or any(s % cell.space for s in video.shape[3:]):
            raise ValueError(
                f"a video of {tuple(video.shape[1:])} (3, t, h, w) is not whole cells: t must be"
                f" {'1 + ' if first else ''}a multiple of {cell.time}, h and w multiples of {cell.space}"
            )
        if state is not None:
            state.started = True
        return self.encoder(self.coefficients(video, first=first), state)

    def decode(self, latent: Tensor, state: StreamState | None = None, *, given: Sequence[bool] = ()) -> Tensor:
        """`b c t h w` -> `b 3 1+(t-1)*4 8h 8w` in [0, 1]; `given` frames stay, see `deblock`.

        With a `state`, later chunks give `4t` frames, and the borders of latent frames are left to `deblock_stream`.
        """
        if latent.shape[1] != self.config.channels:
            raise ValueError(f"the latent has {latent.shape[1]} channels; this VAE decodes {self.config.channels}")
        check_given(given, latent.shape[2])
        first = state is None or not state.started
        if state is not None:
            state.started = True
        x = self.decoder(latent.contiguous(memory_format=torch.channels_last_3d), state)
        video = unfold(x, self.config.wavelet, self.wavelet.to(x)).add_(1).div_(2)
        time = self.config.compression.time
        video = video[:, :, time - 1 :] if first else video
        if self.training:  # a clamped value has no gradient
            return video
        video = video.clamp(0, 1)
        return video if state is not None else deblock(video, time, given=given)

    def encode_chunks(self, chunks: Iterable[Tensor], *, budget: int | None = None) -> Iterator[Tensor]:
        """Encode a stream of chunks (first 1 + 4k frames, then 4k each); equal to encoding the whole.

        `budget` is the memory for the work, in bytes; by default half of what is free.
        """
        return encode_stream(self, chunks, budget=budget)

    def decode_chunks(
        self, latent: Tensor | StoredLatent, frames: int | None = None, *, given: Sequence[bool] = (),
        budget: int | None = None,
    ) -> Iterator[Tensor]:  # fmt: skip
        """Decode `b c t h w`, at most `frames` latent frames at a time, with memory constant in t; see `streaming`."""
        return decode_stream(self, latent, frames, given=given, budget=budget)

    @property
    def context(self) -> int:
        """Latent frames of the past that one decoded frame can depend on."""
        fine, trunk = self.config.decoder_depth
        return 2 * (1 + trunk) + fine + 2

    def decode_circular(self, latent: Tensor) -> Tensor:
        """Decode a loop, `b c t h w` -> `b 3 4t 8h 8w`: the first frame follows the last like any other."""
        t, time = latent.shape[2], self.config.compression.time
        wrapped = latent[:, :, torch.arange(-self.context, t + 1, device=latent.device) % t]
        return self.decode(wrapped)[:, :, -(t + 1) * time : -time]
