"""Latents of a clip store, encoded once and kept in memory: what the transformer trains on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..tensor_files import save_tensors
from ..training.precision import mixed
from ..vae import VideoVAE
from .store import ClipStore, Shard, read_about


def encode_circular(vae: VideoVAE, video: Tensor) -> Tensor:
    """The latent of a loop `b 3 t h w` (t whole cells) in which the first cell has the last as its past."""
    cells = video.shape[2] // vae.config.compression.time
    lead = video.repeat(1, 1, 1 + -(-vae.context // cells), 1, 1)
    return vae.encode(torch.cat([video[:, :, -1:], lead], dim=2))[:, :, -cells:]


def encode_clips(vae: VideoVAE, frames: Tensor, *, loop: bool = False) -> tuple[Tensor, Tensor]:
    """`LatentShard.clips` and `LatentShard.pictures` of clips `n t h w 3` (uint8, t whole cells).

    Pictures are two of the later frames, or the only one.
    """
    moments = sorted({frames.shape[1] // 2, frames.shape[1] - 1})
    video = frames.permute(0, 4, 1, 2, 3).float().div(255).to(next(vae.parameters()).device)
    both = torch.stack([video, video.flip(-1)], dim=1)  # n mirrored 3 t h w
    with mixed(video.device):
        flat = both.flatten(0, 1)
        clips = encode_circular(vae, flat) if loop else vae.encode(flat)
        pictures = vae.encode(both[:, :, :, moments].permute(0, 1, 3, 2, 4, 5).flatten(0, 2).unsqueeze(2))
    return clips.unflatten(0, (-1, 2)).half().cpu(), pictures.unflatten(0, (-1, 2, len(moments))).half().cpu()


@torch.inference_mode()
def encode_shard(vae: VideoVAE, shard: Shard, path: Path, *, batch: int = 16) -> None:
    """Write the latents of one shard: every clip, its mirror image, and two of its later frames as pictures."""
    clips: list[Tensor] = []
    pictures: list[Tensor] = []
    loop = bool(shard.about.get("periodic"))
    for start in range(0, shard.clips, batch):
        rows = range(start, min(start + batch, shard.clips))
        encoded, stills = encode_clips(vae, torch.stack([shard.frames(row) for row in rows]), loop=loop)
        clips.append(encoded)
        pictures.append(stills)
    labels = torch.tensor([shard.labels(row) for row in range(shard.clips)], dtype=torch.uint8)
    tensors = {"clips": torch.cat(clips), "pictures": torch.cat(pictures), "labels": labels}
    save_tensors(tensors, path, {"about": json.dumps(shard.about)})


def encode_store(
    vae: VideoVAE, store: ClipStore, out: Path, *, first: int = 0, stride: int = 1, say: Callable[[str], None] = print
) -> None:
    """Encode the shards `first`, `first + stride`, ... of a store, those that `out` does not hold yet."""
    for shard in store.shards[first::stride]:
        path = out / shard.path.name
        if not path.exists():
            encode_shard(vae, shard, path)
            say(f"{path.name}: {shard.clips} clips")


@dataclass(frozen=True)
class LatentShard:
    """Latents of equally sized clips: `clips` n 2 c t h w and `pictures` n 2 m c 1 h w, in float16; labels n k."""

    clips: Tensor
    pictures: Tensor
    labels: Tensor
    fps: float
    periodic: bool
    world: str = "sandbox"
    captions: tuple[tuple[str, ...], ...] | None = None
    """What to say of every clip, in place of what its labels say."""

    @classmethod
    def load(cls, path: Path, captions: tuple[tuple[str, ...], ...] | None = None) -> LatentShard:
        """Read one file that `encode_shard` wrote into memory. Raises ValueError when it is damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                about = read_about(file)
                clips, pictures, labels = (file.get_tensor(name) for name in ("clips", "pictures", "labels"))
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: {error}; delete it and it is made again") from None
        if "fps" not in about:
            raise ValueError(f"{path} is damaged: its header says no fps; delete it and it is made again")
        return cls(clips, pictures, labels, fps=about["fps"], periodic=bool(about.get("periodic")),
                   world=about.get("world", "sandbox"), captions=captions)  # fmt: skip
