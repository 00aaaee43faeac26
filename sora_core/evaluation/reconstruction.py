"""What compression costs: clips against their reconstructions, rendered ones and real footage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.footage import videos_in
from ..training.precision import mixed
from ..video import VideoReader
from .metrics import flicker, psnr, ssim


@torch.inference_mode()
def rebuilt(vae: Any, video: Tensor, *, exact: bool = False) -> Tensor:
    """`b 3 t h w` in [0, 1] after encoding and decoding; `exact` in float32, else in the fastest precision."""
    b, _, t, h, w = video.shape
    cell = vae.config.compression
    frames = -(t - 1) % cell.time
    padded = torch.cat([video, video[:, :, -1:].expand(b, 3, frames, h, w)], 2)
    flat = F.pad(padded.flatten(1, 2), (0, -w % cell.space, 0, -h % cell.space), mode="replicate")
    device = next(vae.parameters()).device
    padded = flat.unflatten(1, (3, t + frames)).to(device)
    if exact:
        return vae.decode(vae.encode(padded))[:, :, :t, :h, :w].clamp(0, 1).to(video)
    with mixed(device):
        return vae.decode(vae.encode(padded))[:, :, :t, :h, :w].to(video).clamp(0, 1)


def reconstruction(vae: Any, clips: Iterable[Tensor]) -> dict[str, float | int]:
    """PSNR in dB, SSIM and flicker (see `metrics`) of clips `1 3 t h w`, averaged over clips."""
    rows = []
    for video in clips:
        copy = rebuilt(vae, video, exact=True)[0]
        rows.append((psnr(copy, video[0]), ssim(copy, video[0]), flicker(copy, video[0])))
    if not rows:
        return {"clips": 0}
    means = torch.tensor(rows, dtype=torch.float64).mean(0).tolist()
    return {"clips": len(rows)} | {k: round(v, 4) for k, v in zip(("psnr", "ssim", "flicker"), means, strict=True)}


def real_clips(folder: Path, *, num_frames: int = 17, side: int = 256) -> Iterable[Tensor]:
    """The first frames of every video in a folder, `1 3 t h w`, at most `side` pixels on the shorter side.

    Smaller videos keep their size.
    Raises ValueError when the folder holds no video.
    """
    for path in videos_in(folder):
        with VideoReader(path, chunk=num_frames) as reader:
            frames = next(iter(reader)).permute(0, 3, 1, 2).float().div(255)
        h, w = frames.shape[2:]
        if min(h, w) > side:
            size = (side, round(w * side / h)) if h <= w else (round(h * side / w), side)
            frames = F.interpolate(frames, size=size, mode="bilinear", antialias=True, align_corners=False)
        yield frames.transpose(0, 1)[None].clamp(0, 1)
