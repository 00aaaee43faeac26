"""Training the judge on rendered clips: every attribute from pixels, through the blur that generated clips have."""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from ..data.store import ClipStore, Shard
from ..data.worlds.attributes import ATTRIBUTES, Attributes
from ..evaluation.judge import MOVING, Judge, resized, stride_at
from ..randomness import generator
from ..vae import VideoVAE
from .pictures import contact_sheet
from .precision import mixed

FRAMES = (9, 9, 9, 17)
"""Most frames of a training clip, drawn at random: two or four seconds."""
_RENDERED = re.compile(r"sandbox_(\d+)_")


def is_held_out(shard: Shard) -> bool:
    """Whether the judge is never trained on this shard: every eleventh, which meets all sizes and frame rates.

    Files that are not named as `sora worlds` names its own have no number, and are trained on.
    """
    number = _RENDERED.match(shard.path.name)
    return number is not None and int(number[1]) % 11 == 7


class JudgeTask:
    """Cross-entropy of every attribute, on single frames at every fourth step and on clips at the others."""

    def __init__(
        self, store: ClipStore, *, seed: int = 0, clips: int = 16, images: int = 96, vae: VideoVAE | None = None,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        shards = [shard for shard in store.shards if shard.about.get("world") == "sandbox"]
        self.shards = [shard for shard in shards if not is_held_out(shard)]
        self.held_out = [shard for shard in shards if is_held_out(shard)]
        if not self.shards:
            raise ValueError("the folder holds no sandbox clips to train a judge on; make some with: sora worlds")
        self.store, self.seed, self.clips, self.images = store, seed, clips, images
        self.device = torch.device(device)
        self.vae = None if vae is None else vae.to(self.device)
        self.module = Judge().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.module.initialise(generator(seed, "judge"))
        self.module.to(self.device)

    def batch(self, step: int, shards: list[Shard]) -> tuple[Tensor, Tensor]:
        """Clips `b 3 t h w` as the judge sees them, and labels `b attributes`; at every fourth step t is 1.

        Shards of stills have no part in the other steps, unless there are no clips.
        """
        draws = generator(self.seed, "judge", step)
        still = step % 4 == 1
        moving = [s for s in shards if s.shape[0] > 1]
        first, _ = self.store.draw(draws, shards if still or not moving else moving)
        alike = [s for s in shards if s.shape == first.shape and s.about["fps"] == first.about["fps"]]
        rebuilt = self.vae is not None and torch.rand((), generator=draws).item() < 0.15
        count = (self.images if still else self.clips) * min(first.shape[1:]) // max(first.shape[1:])
        most = FRAMES[int(torch.randint(len(FRAMES), (), generator=draws))]
        if not still and most > FRAMES[0] and first.shape[0] > FRAMES[0] * stride_at(first.about["fps"]):
            count //= 2
        # The network that rebuilds costs more than the judge itself.
        count = max(4, count // 4) if rebuilt else max(4, count)
        videos, labels = [], []
        for _ in range(count):
            shard, row = self.store.draw(draws, alike)
            start = int(torch.randint(shard.shape[0], (), generator=draws))
            frames = shard.frames(row, start, start + 1) if still else shard.frames(row)
            video = frames.permute(3, 0, 1, 2).float().div(255)
            videos.append(video if rebuilt or still else self._sampled(video, first.about["fps"], most, draws))
            labels.append(Attributes.from_indices(shard.labels(row)).indices())
        video = torch.stack(videos)
        if rebuilt:
            video = self._rebuilt(video, draws)
            video = video if still else self._sampled(video, first.about["fps"], most, draws)
        return resized(video), torch.tensor(labels)

    def _sampled(self, video: Tensor, fps: float, most: int, draws: torch.Generator) -> Tensor:
        """Every few frames of a clip `... t h w`, `most` at the most, from one of the first frames on.

        Later beginnings would call a camera that comes back in a loop by the name of its way there.
        """
        stride = stride_at(fps)
        kept = min(most, 1 + (video.shape[-3] - 1) // stride)
        room = min(stride, video.shape[-3] - stride * (kept - 1))
        start = int(torch.randint(room, (), generator=draws))
        return video[..., start : start + stride * (kept - 1) + 1 : stride, :, :]

    @torch.no_grad()
    def _rebuilt(self, video: Tensor, draws: torch.Generator) -> Tensor:
        """Clips after compression, with some noise on the latent, at the length they had."""
        assert self.vae is not None
        frames = video.shape[2]
        missing = -(frames - 1) % self.vae.config.compression.time
        video = torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], 2)
        with mixed(self.device):
            latent = self.vae.encode(video.to(self.device))
            strength = 0.15 * torch.rand((), generator=draws)
            latent = latent + (strength * torch.randn(latent.shape, generator=draws)).to(self.device)
            return self.vae.decode(latent).float().clamp(0, 1)[:, :, :frames].cpu()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        video, labels = self.batch(step, self.shards)
        draws = generator(self.seed, "judge augmentation", step)
        video, labels = (x.to(self.device) for x in mirrored(video, labels, draws))
        with mixed(self.device):
            logits = self.module(worsened(video, draws))
        figures, losses = {}, []
        for i, name in enumerate(ATTRIBUTES):
            if video.shape[2] == 1 and name in MOVING:
                continue
            losses.append(F.cross_entropy(logits[i].float(), labels[:, i]))
            figures[name] = float((logits[i].argmax(-1) == labels[:, i]).float().mean())
        return torch.stack(losses).sum(), figures, len(labels)

    @torch.inference_mode()
    def accuracy(self, batches: int = 24) -> dict[str, float]:
        """The share of right answers per attribute on held-out clips, unspoilt; nothing where there are none."""
        right: dict[str, list[Tensor]] = {name: [] for name in ATTRIBUTES}
        vae, self.vae = self.vae, None
        for i in range(batches if self.held_out else 0):
            video, labels = self.batch(-4 - 4 * i, self.held_out)
            with mixed(self.device):
                logits = self.module(video.to(self.device))
            for k, name in enumerate(ATTRIBUTES):
                if video.shape[2] == 1 and name in MOVING:
                    continue
                right[name].append(logits[k].argmax(-1).cpu() == labels[:, k])
        self.vae = vae
        return {name: round(float(torch.cat(parts).float().mean()), 4) for name, parts in right.items() if parts}

    def sheet(self, path: Path) -> None:
        """What the judge is shown, with its held-out accuracy in a file beside it."""
        video, labels = self.batch(-4, self.held_out or self.shards)
        draws = generator(self.seed, "judge sheet")
        contact_sheet(list(worsened(mirrored(video, labels, draws)[0], draws)[:8]), path, columns=9)
        if self.held_out:
            path.with_suffix(".txt").write_text(f"{self.accuracy()}\n", encoding="utf-8")


def mirrored(video: Tensor, labels: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the clips seen in a mirror, with the labels of what the mirror shows."""
    flip = torch.rand(len(video), generator=draws) < 0.5
    sheets = [Attributes.from_indices(tuple(row)) for row in labels.tolist()]
    rows = [(a.mirrored() if f else a).indices() for a, f in zip(sheets, flip.tolist(), strict=True)]
    return torch.where(flip[:, None, None, None, None], video.flip(-1), video), torch.tensor(rows)


def worsened(video: Tensor, draws: torch.Generator) -> Tensor:
    """Clips `b 3 t h w` with a little of what decoders do: blur, lost detail, noise, and other brightness."""
    b, _, t, h, w = video.shape
    blur, coarse, noise, amount, gain = torch.rand(5, generator=draws).tolist()
    frames = video.transpose(1, 2).flatten(0, 1)
    if blur < 0.35:
        frames = gaussian_blur2d(frames, (7, 7), (0.3 + 1.2 * amount, 0.3 + 1.2 * amount))
    elif coarse < 0.25:
        small = F.interpolate(frames, scale_factor=0.55 + 0.4 * amount, mode="bilinear", antialias=True)
        frames = F.interpolate(small, size=(h, w), mode="bilinear")
    video = frames.unflatten(0, (b, t)).transpose(1, 2)
    if noise < 0.4:
        video = video + (0.06 * amount * torch.randn(video.shape, generator=draws)).to(video)
    tone = (1 + 0.16 * (torch.rand((b, 1, 1, 1, 1), generator=draws) - 0.5)).to(video)
    return (video * tone + 0.05 * (gain - 0.5)).clamp(0, 1)
