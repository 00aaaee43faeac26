"""Training the compression network: short crops of every length, from images to clips, against their pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import VAEConfig
from ..data.store import ClipStore, Shard
from ..randomness import generator
from ..shapes import Compression, VideoShape
from ..vae import VideoVAE
from .pictures import contact_sheet
from .precision import mixed

CROPS = ((1, 64, 64), (5, 64, 64), (9, 64, 64), (5, 48, 96), (17, 48, 48))
"""Frames, height and width of the training crops; few, because each is compiled once."""
PIXELS = 160_000
"""Pixels in a batch."""
PULSE_WEIGHT = 0.1


def whole_crops(cells: Compression) -> list[tuple[int, int, int]]:
    """`CROPS`, rounded up to whole latent cells."""
    shapes = (VideoShape(num_frames=t, height=h, width=w).padded(cells, (1, 1, 1)) for t, h, w in CROPS)
    return list(dict.fromkeys((shape.num_frames, shape.height, shape.width) for shape in shapes))


def pulse(video: Tensor, time: int) -> Tensor:
    """Mean squared jump of `b 3 t h w` into frames where a latent frame begins over that into all others; 1 is even.

    A latent frame is `time` frames, but for the first, which is one. A still video is even.
    """
    jumps = video.diff(dim=2).square().mean((0, 1, 3, 4))
    begins = torch.arange(len(jumps), device=jumps.device) % time == 0
    return (jumps[begins].mean() + 1e-8) / (jumps[~begins].mean() + 1e-8)


class VAETask:
    """L1 + 20 MSE + 0.5 gradient L1 + 2e-4 KL to a unit Gaussian, the posterior having a fixed small spread.

    The three errors are about alike at 30 dB; half of the MSE's weight again goes to the error's change from frame to
    frame, which is what flickers. A linear encoder stays the principal components that it starts as.

    A `fresh` network starts from principal components; one that is given weights need not compute them.

    With `regenerate`, `b c t h w` to `b c t h w`, every other batch trains the decoder alone, on what that makes of
    the latents: it learns to smooth over the errors of generated ones. There, `PULSE_WEIGHT` times the squared
    difference of log `pulse` from the rendered clips' is added.
    """

    def __init__(
        self, config: VAEConfig, store: ClipStore, *, seed: int = 0, spread: float = 0.03, compile: bool = True,
        regenerate: Callable[[Tensor, torch.Generator], Tensor] | None = None, fresh: bool = True,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        self.regenerate, self.device = regenerate, torch.device(device)
        self.store, self.seed, self.spread = store, seed, spread
        self.crops = [crop for crop in whole_crops(config.compression) if self._holding(crop)]
        if not self.crops:
            raise ValueError(f"no shard holds clips of {CROPS[0][1]}x{CROPS[0][2]} pixels, the smallest training crop")
        self.module = VideoVAE(config).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.module.initialise(generator(seed, "vae weights"))
        self.pass_through = torch.compile(self._reconstruct, dynamic=False) if compile else self._reconstruct
        self.decode = torch.compile(self._decode, dynamic=False) if compile else self._decode
        if fresh:
            self.start_from_principal_components()
        if self.module.encoder.linear:
            self.module.encoder.requires_grad_(False)
        self.module.to(self.device)

    def start_from_principal_components(self, clips: int = 4096) -> None:
        """Set both shortcuts to the principal components of the wavelet cells, so training starts from PCA."""
        from ..vae.layers import fold_cell

        batches = [self.batch(-1 - i)[0] for i in range(max(1, clips // 32))]
        with torch.no_grad():
            cells = [fold_cell(self.module.coefficients(b)).transpose(0, 1).flatten(1).T for b in batches]
        x = torch.cat(cells)
        mean = x.mean(0)
        _, _, basis = torch.linalg.svd(((x - mean).T @ (x - mean)).double())
        basis = basis[: self.module.config.channels].float()  # c d
        scale = 1 / ((x - mean) @ basis.T).std()
        encoder, decoder = self.module.encoder.shortcut.conv, self.module.decoder.shortcut.conv
        with torch.no_grad():
            encoder.weight.copy_((basis * scale)[:, :, None, None, None])
            encoder.bias.copy_(-(basis @ mean) * scale)
            decoder.weight.copy_((basis.T / scale)[:, :, None, None, None])
            decoder.bias.copy_(mean)
            coefficients = torch.cat([self.module.coefficients(b).transpose(0, 1).flatten(1) for b in batches], dim=1)
            if not self.module.encoder.linear:
                self.module.encoder.gain.copy_(1 / coefficients.std(1).clamp(min=1e-3))
            self.module.decoder.gain.copy_(1 / (((x - mean) @ basis.T) * scale).std(0))

    def batch(self, step: int) -> tuple[Tensor, torch.Generator]:
        """Crops `b 3 t h w` in [0, 1] of one step, mirrored and recoloured at random."""
        t, h, w = crop = self.crops[step % len(self.crops)]
        draws = generator(self.seed, "vae", step)
        shards = self._holding(crop)
        clips = []
        for _ in range(max(1, PIXELS // (t * h * w))):
            shard, row = self.store.draw(draws, shards)
            room = [size - crop + 1 for size, crop in zip(shard.shape, (t, h, w), strict=True)]
            a, y, x = (int(torch.randint(r, (), generator=draws)) for r in room)
            clip = shard.frames(row, a, a + t)[:, y : y + h, x : x + w]
            mirror, recolour = torch.rand(2, generator=draws).tolist()
            if mirror < 0.5:
                clip = clip.flip(2)
            if recolour < 0.3:
                clip = clip[..., torch.randperm(3, generator=draws)]
            clips.append(clip)
        return torch.stack(clips).permute(0, 4, 1, 2, 3).float().div(255), draws

    def is_other(self, step: int) -> bool:
        """Whether this is one of every other batches, and of the batches of each crop one of every other, too."""
        count = len(self.crops)
        return (step + (step // count if count % 2 == 0 else 0)) % 2 == 1

    def _holding(self, crop: tuple[int, int, int]) -> list[Shard]:
        """The shards whose clips are at least as large."""
        return [s for s in self.store.shards if all(size >= part for size, part in zip(s.shape, crop, strict=True))]

    def _reconstruct(self, video: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        with mixed(video.device):
            latent = self.module.encode(video)
            x = self.module.decode(latent + self.spread * noise)
        return x.float(), latent.float()

    def _decode(self, latent: Tensor) -> Tensor:
        with mixed(latent.device):
            return self.module.decode(latent).float()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        video, draws = self.batch(step)
        video = video.to(self.device)
        cell = self.module.config.compression
        shape = (video.shape[0], self.module.config.channels, cell.latent_frames(video.shape[2]),
                 video.shape[3] // cell.space, video.shape[4] // cell.space)  # fmt: skip
        if self.regenerate is not None and self.is_other(step):
            with torch.no_grad():
                latent = self.regenerate(self.module.encode(video), draws)
            output, kind = self.decode(latent.clone()), "regenerated"
        else:
            output, latent = self.pass_through(video, torch.randn(shape, generator=draws).to(self.device))
            kind = "psnr"
        error = output - video
        mse = error.square().mean()
        gradients = sum(error.diff(dim=d).abs().mean() for d in (2, 3, 4) if error.shape[d] > 1)
        flicker = error.diff(dim=2).square().mean() if error.shape[2] > 1 else 0.0
        loss = error.abs().mean() + 20 * (mse + 0.5 * flicker) + 0.5 * gradients + 2e-4 * 0.5 * latent.square().mean()
        if kind == "regenerated" and video.shape[2] > 1:
            excess = pulse(output, cell.time).log() - pulse(video, cell.time).log()
            loss = loss + PULSE_WEIGHT * excess.square()
        figures = {
            f"{kind}_{'x'.join(map(str, video.shape[2:]))}": float(-10 * mse.detach().log10()),
            "latent_std": float(latent.detach().std()),
        }
        return loss, figures, video.shape[0]

    @torch.no_grad()
    def sheet(self, path: Path) -> None:
        video = self.batch(-2 if len(self.crops) > 1 else 0)[0][:6].to(self.device)
        output = self.module.decode(self.module.encode(video))
        error = F.mse_loss(output, video)
        rows = [row for pair in zip(video, output, strict=True) for row in pair]
        contact_sheet(rows, path.with_stem(f"{path.stem}_{float(-10 * error.log10()):.2f}dB"))
