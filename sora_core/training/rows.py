"""Packed rows to train the transformer on: clips and pictures of every size, each patch at its own noise level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import SoraConfig
from ..data.latents import LatentShard
from ..data.mixture import clip_weights, shard_weights
from ..data.worlds.attributes import Attributes
from ..data.worlds.captions import LOOSE
from ..data.worlds.catalogue import WORLDS, mirrors, shown
from ..dit.rope import rotations
from ..patches import patchify, positions, still_tokens
from ..randomness import generator
from .noising import draw_levels
from .reading import UNKNOWN, reading_labels


@dataclass(frozen=True)
class Sequence:
    """One clean sample of a packed row: patches `n p`, their noise levels `n` and where they are."""

    tokens: Tensor
    sigma: Tensor
    cos: Tensor
    sin: Tensor
    still: Tensor
    text: str
    labels: tuple[int, ...]
    """What its text names, as `reading_labels`."""
    cells: tuple[int, int, int]
    """Latent frames, height and width of the whole sample."""
    loop: bool
    earlier: Tensor
    """`n`: which patch is at the same place one latent frame earlier, or the patch itself where there is none."""

    def grid(self, patch: tuple[int, int, int]) -> tuple[int, int, int]:
        """How many patches of a size lie along time, height and width."""
        (t, h, w), (pt, ph, pw) = self.cells, patch
        return t // pt, h // ph, w // pw


def earlier_patches(count: int, frames: int, *, circular: bool) -> Tensor:
    """`Sequence.earlier` of `count` patches in that many latent frames; a loop's first frame comes after its last."""
    index, size = torch.arange(count), count // frames
    return (index - size) % count if circular else torch.where(index < size, index, index - size)


class Rows:
    """The rows of a training: row `step` of a seed is always the same, whatever was drawn before it.

    `tokens` is about how many a row has, text included, `pictures` the share of single frames among its samples, and
    `shares` are those of some worlds. Raises ValueError for shares that cannot be.
    """

    def __init__(
        self, config: SoraConfig, shards: list[LatentShard], *, seed: int, tokens: int, pictures: float,
        shares: Mapping[str, float],
    ):  # fmt: skip
        self.config, self.shards, self.seed = config, shards, seed
        self.tokens, self.pictures = tokens, pictures
        self.weights = shard_weights(shards, shares)
        self.clip_weights = [clip_weights(shard) for shard in shards]

    def draw(self, draws: torch.Generator) -> Sequence:
        """One sample: a picture, the beginning of a clip or a whole clip, mirrored or not, captioned anew."""
        shard, row, mirror = self.pick(draws)
        circular = False
        if float(torch.rand((), generator=draws)) < self.pictures:
            moment = int(torch.randint(shard.pictures.shape[2], (), generator=draws))
            latent = shard.pictures[row, mirror, moment]
        else:
            latent = shard.clips[row, mirror]
            circular = shard.periodic
            if not circular and latent.shape[1] > 1 and float(torch.rand((), generator=draws)) < 0.3:
                latent = latent[:, : int(torch.randint(2, latent.shape[1] + 1, (), generator=draws))]
        text, labels = self.words(shard, row, mirror, draws)
        return self.sequence(latent.float(), text, labels, shard.fps, draws, circular=circular)

    def pick(self, draws: torch.Generator) -> tuple[LatentShard, int, int]:
        """A clip: its shard, its row there, and whether it is mirrored."""
        number = int(torch.multinomial(self.weights, 1, generator=draws))
        shard = self.shards[number]
        row = int(torch.multinomial(self.clip_weights[number], 1, generator=draws))
        # What is written about a clip may say left or right.
        mirrored = mirrors(shard.world) and shard.captions is None
        return shard, row, int(torch.rand((), generator=draws) < 0.5 and mirrored)

    def words(
        self, shard: LatentShard, row: int, mirror: int, draws: torch.Generator, style: str | None = None
    ) -> tuple[str, tuple[int, ...]]:
        """A caption in either language, of `style` or else of any, and what it names.

        One in ten is empty, as guidance's opposite.
        """
        empty, chinese, short = torch.rand(3, generator=draws).tolist()
        if shard.captions is not None:
            texts = shard.captions[row]
            return ("" if empty < 0.1 else texts[int(short * len(texts))]), UNKNOWN
        attributes = shown(shard.world, tuple(shard.labels[row].tolist()), mirrored=bool(mirror))
        if empty < 0.1 or attributes is None:
            return "", UNKNOWN
        sandbox = isinstance(attributes, Attributes)
        language = "zh" if chinese < 0.4 else "en"
        style = style or ("short" if short < 0.4 else LOOSE if short < 0.55 and sandbox else "descriptive")
        said = WORLDS[shard.world].compose(attributes, draws, language, style)
        return said.text, reading_labels(attributes, said.mentioned) if sandbox else UNKNOWN

    def sequence(
        self, latent: Tensor, text: str, labels: tuple[int, ...], fps: float, draws: torch.Generator, *, circular: bool
    ) -> Sequence:
        """Patches, noise levels and rotations of one latent `c t h w`."""
        patch, compression = self.config.dit.patch, self.config.vae.compression
        _, t, h, w = latent.shape
        cells = (t, h, w)
        where = positions(cells, patch, compression, fps, circular=circular)
        loop = t * compression.time / fps if circular else None
        cos, sin = rotations(where, self.config.dit.head_dim, loop_seconds=loop)
        grid = (t // patch[0], h // patch[1], w // patch[2])
        sigma = draw_levels(grid, draws, self.config.dit.lowest_sigma).flatten()
        still = still_tokens(cells, patch, circular=circular)
        tokens = patchify(latent[None], patch)[0]
        earlier = earlier_patches(len(tokens), t // patch[0], circular=circular)
        return Sequence(tokens, sigma, cos, sin, still, text, labels, cells, circular, earlier)

    def row(self, step: int) -> tuple[list[Sequence], torch.Generator]:
        """Samples that fill about `tokens` tokens, text included; equal lengths lie together for attention."""
        draws = generator(self.seed, "dit", step)
        left = self.tokens
        sequences: list[Sequence] = []
        while True:
            sequence = self.draw(draws)
            left -= len(sequence.sigma) + self.config.dit.text_tokens
            if left < 0 and sequences:
                return sorted(sequences, key=lambda s: len(s.sigma)), draws
            sequences.append(sequence)
