"""A critic: a small network that reads through noise what latents show, and by which predictions are compared to clips.

A squared error counts every number alike, and a small toy is few of them: its shape comes last. A critic notices what
can be told apart. It is another network than the judge that scores, looks at latents instead of pixels and was trained
on other clips: a model that learns from one is measured by the other.
Shapes: b clips, a attributes; `c t h w` are latent cells.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.latents import LatentShard
from ..data.worlds.attributes import SHEET
from ..data.worlds.catalogue import shown
from ..diffusion.process import add_noise
from ..evaluation.judge import MOVING, coordinates, shift_in_time
from ..randomness import generator
from ..tensor_files import fits, read_tensors, save_tensors
from .precision import mixed

HIGHEST = 0.4
"""Noise level up to which clips are read: what is there for the eyes of a critic alone does not survive it."""
STILLS = 0.35
"""Share of batches of single frames, where shapes are learnt; motions are learnt from the others, and slowly."""
HEADER = "critic"


class CriticBlock(nn.Module):
    """A residual 3x3 convolution of every cell after its channels have been exchanged with other times."""

    def __init__(self, width: int, reach: int, spread: int):
        super().__init__()
        self.reach = reach
        self.conv = nn.Conv2d(width, width, 3, padding=spread, dilation=spread)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`b*t c h w` -> the same."""
        mixed_in_time = shift_in_time(F.silu(x).unflatten(0, (-1, frames)), self.reach).flatten(0, 1)
        return x + self.conv(mixed_in_time.contiguous(memory_format=torch.channels_last))


class Critic(nn.Module):
    """Noisy latents of any size and length to one set of logits per attribute."""

    def __init__(self, channels: int, width: int = 128):
        super().__init__()
        self.channels = channels
        # A latent with its changes from the frame before and from the first, its place, its noise, and what is a still.
        self.entry = nn.Conv2d(3 * channels + 4, width, 3, padding=1)
        self.blocks = nn.ModuleList(CriticBlock(width, r, s) for r, s in ((1, 1), (1, 1), (2, 2), (1, 1), (2, 1)))
        self.where_embed = nn.Conv2d(width, len(SHEET), 1)
        self.heads = nn.ModuleList(nn.Linear(2 * width, len(values)) for values in SHEET.values())

    def initialise(self, draws: torch.Generator) -> None:
        """Draw the weights; residual branches start small because nothing normalises the trunk."""
        for name, parameter in self.named_parameters():
            gain = 0.3 if "blocks." in name else 0.1 if "where" in name else 0.6
            fan = parameter[0].numel() if parameter.ndim > 1 else 1
            with torch.no_grad():
                noise = torch.randn(parameter.shape, generator=draws) * gain * fan**-0.5
                parameter.copy_(noise if parameter.ndim > 1 else torch.zeros_like(parameter))

    def forward(self, noisy: Tensor, sigma: Tensor) -> list[Tensor]:
        """`b c t h w` at noise levels `b` -> logits `b values` in the order of `SHEET`."""
        return self.read(noisy, sigma)[0]

    def read(self, noisy: Tensor, sigma: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The logits, and what every block sees: features `b*t c h w`."""
        b, _, t, h, w = noisy.shape
        step = torch.cat([torch.zeros_like(noisy[:, :, :1]), noisy.diff(dim=2)], 2)
        level = sigma.to(noisy).view(b, 1, 1, 1, 1).expand(b, 1, t, h, w)
        still = torch.zeros_like(level).index_fill(2, torch.tensor([0], device=noisy.device), 1)
        x = torch.cat([noisy, step, noisy - noisy[:, :, :1], coordinates(noisy), level, still], 1)
        x = self.entry(x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last))
        features = []
        for block in self.blocks:
            x = block(x, t)
            features.append(x)
        x = F.silu(F.rms_norm(x.permute(0, 2, 3, 1), x.shape[1:2]))  # b*t h w c
        where = self.where_embed(x.permute(0, 3, 1, 2)).flatten(2).softmax(-1)  # b*t a h*w
        seen = (where @ x.flatten(1, 2)).unflatten(0, (-1, t))  # b t a c
        seen = torch.cat([seen.mean(1), seen.amax(1)], -1)
        return [head(seen[:, i]) for i, head in enumerate(self.heads)], features


class CriticTask:
    """Cross-entropy of every attribute of clips of the sandbox, and of single frames, under noise.

    `held_out` are clips that are not trained on. Raises ValueError when there is nothing to train on.
    """

    def __init__(
        self, shards: list[LatentShard], held_out: list[LatentShard], *, channels: int, seed: int = 0,
        cells: int = 12_000, device: torch.device | str = "cpu",
    ):  # fmt: skip
        self.shards, self.held_out = (
            [shard for shard in part if shard.world == "sandbox" and not shard.periodic] for part in (shards, held_out)
        )
        if not self.shards:
            raise ValueError("the folder holds no sandbox clips to train a critic on; make some with: sora worlds")
        self.seed, self.cells, self.device = seed, cells, torch.device(device)
        self.module = Critic(channels).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.module.initialise(generator(seed, "critic"))
        self.module.to(self.device)

    def batch(self, number: int, shards: list[LatentShard]) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents `b c t h w` of one size, their noise levels `b` and labels `b a`."""
        draws = generator(self.seed, "critic", number)
        still = float(torch.rand((), generator=draws)) < STILLS
        moving = [shard for shard in shards if shard.clips.shape[3] > 1]
        shards = shards if still or not moving else moving
        clips = torch.tensor([float(len(shard.clips)) for shard in shards])
        shard = shards[int(torch.multinomial(clips, 1, generator=draws))]
        still = still or shard.clips.shape[3] == 1
        cells = shard.clips[0, 0, 0].numel() // (shard.clips.shape[3] if still else 1)
        count = max(2, self.cells // cells)
        rows = torch.randint(len(shard.clips), (count,), generator=draws)
        mirror = torch.randint(2, (count,), generator=draws)
        moment = torch.randint(shard.pictures.shape[2], (count,), generator=draws)
        clean = (shard.pictures[rows, mirror, moment] if still else shard.clips[rows, mirror]).float()
        sheets = (
            shown("sandbox", tuple(shard.labels[row].tolist()), mirrored=bool(m))
            for row, m in zip(rows.tolist(), mirror.tolist(), strict=True)
        )
        labels = torch.tensor([sheet.indices() for sheet in sheets])
        noisy, sigma, _ = through_noise(clean, draws)
        return noisy.to(self.device), sigma.to(self.device), labels.to(self.device)

    def loss(self, number: int) -> tuple[Tensor, dict[str, float], int]:
        noisy, sigma, labels = self.batch(number, self.shards)
        with mixed(self.device):
            logits = self.module(noisy, sigma)
        losses = [
            F.cross_entropy(logits[i].float(), labels[:, i])
            for i, name in enumerate(SHEET)
            if noisy.shape[2] > 1 or name not in MOVING
        ]
        return torch.stack(losses).sum(), {}, len(labels)

    @torch.no_grad()
    def accuracy(self, batches: int = 12) -> dict[str, float]:
        """The share of right answers on held-out clips per attribute, of those that have it where it can be absent."""
        right: dict[str, list[Tensor]] = {name: [] for name in SHEET}
        for number in range(batches if self.held_out else 0):
            noisy, sigma, labels = self.batch(-1 - number, self.held_out)
            logits = self.module(noisy, sigma)
            for i, (name, values) in enumerate(SHEET.items()):
                if noisy.shape[2] > 1 or name not in MOVING:
                    there = labels[:, i] > 0 if values[0] == "none" else labels[:, i] >= 0
                    right[name].append((logits[i].argmax(-1) == labels[:, i])[there].float())
        shares = {name: torch.cat(parts).mean().item() for name, parts in right.items() if any(map(len, parts))}
        return {name: round(share, 3) for name, share in shares.items()}

    def sheet(self, path: Path) -> None:
        """How often it is right about held-out clips, as text."""
        path.with_suffix(".txt").write_text(f"{self.accuracy()}\n", encoding="utf-8")


def through_noise(clean: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Latents `b c t h w` under as much noise as a critic reads through, how much, `b`, and the noise."""
    sigma = (HIGHEST * torch.rand(len(clean), generator=draws)).to(clean)
    noise = torch.randn(clean.shape, generator=draws).to(clean)
    return add_noise(clean, noise, sigma), sigma, noise


def perceived_difference(critic: Critic, real: Tensor, made: Tensor, asked: Tensor, draws: torch.Generator) -> Tensor:
    """How differently a critic sees latents `real` and `made`, `b c t h w`, through the same noise: `b`.

    Its answers about the attributes that are `asked` for, `b a`, count by their divergence, and what its blocks see
    everywhere by the squared error of features of length one (Zhang et al., "The unreasonable effectiveness of deep
    features as a perceptual metric", 2018; in latents Berrada et al., "Boosting latent diffusion with perceptual
    objectives", 2025).
    """
    noisy, sigma, noise = through_noise(real, draws)
    with torch.no_grad():
        right, seen = critic.read(noisy, sigma)
    told, shown = critic.read(add_noise(made, noise, sigma), sigma)
    difference = torch.zeros(len(real), device=real.device)
    for i, name in enumerate(SHEET):
        if real.shape[2] > 1 or name not in MOVING:
            expected, answer = (logits[i].float().log_softmax(-1) for logits in (right, told))
            divergence = F.kl_div(answer, expected, reduction="none", log_target=True).sum(-1)
            difference = difference + divergence * asked[:, i]
    for a, b in zip(seen, shown, strict=True):
        a, b = (F.rms_norm(x.permute(0, 2, 3, 1).float(), x.shape[1:2]) for x in (a, b))
        difference = difference + (a - b).square().mean(-1).unflatten(0, (len(real), -1)).flatten(1).mean(1)
    return difference


def save_critic(path: Path, critic: Critic, about: dict[str, object]) -> None:
    """Write a critic in half precision; `about` is what to say about its training."""
    weights = {name: value.half() for name, value in critic.state_dict().items()}
    save_tensors(weights, path, {HEADER: json.dumps({"channels": critic.channels, **about})})


def load_critic(path: Path, channels: int) -> Critic:
    """A trained critic of latents with that many channels, frozen.

    Raises FileNotFoundError, or ValueError when the file holds something else or reads other latents.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no critic {path}; train one with: sora train critic")
    weights, about = read_tensors(path)
    if HEADER not in about:
        raise ValueError(f"{path.name} holds no critic; train one with: sora train critic")
    trained = json.loads(about[HEADER])["channels"]
    if trained != channels:
        raise ValueError(f"{path.name} reads latents of {trained} channels; this model's have {channels}")
    critic = Critic(channels)
    if not fits(weights, critic):
        raise ValueError(f"{path.name} holds a critic of another version; train one with: sora train critic")
    critic.load_state_dict(weights)
    return critic.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
