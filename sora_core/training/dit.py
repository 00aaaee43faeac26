"""Training the transformer: packed rows of clips and pictures of every size, each patch at its own noise level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import SoraConfig
from ..data.latents import LatentShard
from ..data.mixture import clip_weights, shard_weights
from ..data.worlds.attributes import Attributes
from ..data.worlds.captions import LOOSE
from ..data.worlds.catalogue import WORLDS, mirrors, shown
from ..diffusion.guidance import guide
from ..diffusion.process import loss_weight
from ..diffusion.samplers import Denoiser, dpmpp_2m
from ..diffusion.schedules import schedule
from ..dit import DiT
from ..dit.block import RowContext
from ..dit.rope import rotations
from ..patches import patchify, positions, still_tokens, unpatchify
from ..pipeline import DEFAULT_GUIDANCE, Sora
from ..randomness import generator
from ..shapes import VideoShape
from ..text.encoder import TextEncoder
from ..vae import VideoVAE
from . import parallel
from .critic import Critic, perceived_difference
from .drafts import CAPTIONS, STEPS, draft_weights, left_open, missed, read, strayed
from .noising import draw_levels
from .pictures import contact_sheet
from .precision import mixed
from .reading import UNKNOWN, AttributeReader, reading_labels, reading_loss
from .sharding import fill, shard_blocks

PROMPTS = (
    "A red ball bounces in a meadow during the day.",
    "A yellow duck floats to the right on the sea at sunset.",
    "A blue car in a neon city at night, the camera orbits.",
    "A green rocket rises on mars during the day.",
    "雪地里，白天，一个紫色的雪人静止不动。",
    "An orange house in the desert at sunset next to a cyan cube.",
)
"""What contact sheets show."""
CHANGE_WEIGHT = 1.0
"""How much the error of changes counts, from one latent frame to the next, beside that of the frames.

Most of a clip's error is about what stays: where things stand and what they look like. Where they go is so little of it
that it was hardly learnt, and frames that are wrong each in its own way jump.
"""
READING_WEIGHT = 0.05
"""How much it counts that the text tokens tell what the captions name."""
PERCEIVED_WEIGHT = 0.01
"""How much it counts what a critic sees: about as much as the error of clips, where gradients enter the transformer."""
MISSED_WEIGHT = 0.003
"""How much it counts what a critic misses in clips that are drawn from noise: by its gradient, about as much as the
error of clips."""
UNSEEN, SEEN = 0.85, 0.7
"""Noise levels from which on predictions are means of much that could be there, and below which they should not be.

Where a critic looks above, a second toy that could be on either side is best seen on both."""


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


def earlier_patches(count: int, frames: int, *, circular: bool) -> Tensor:
    """`Sequence.earlier` of `count` patches in that many latent frames; a loop's first frame comes after its last."""
    index, size = torch.arange(count), count // frames
    return (index - size) % count if circular else torch.where(index < size, index, index - size)


def change_loss(error: Tensor, sigma: Tensor, earlier: Tensor) -> Tensor:
    """Weighted mean squared error `n p` of the change from the `earlier` patch, where one of both is generated."""
    level = torch.maximum(sigma, sigma[earlier])
    pairs = (level > 0) & (earlier != torch.arange(len(earlier), device=earlier.device))
    changes = (error - error.index_select(0, earlier)).square().mean(1)
    return (loss_weight(level) * changes * pairs).sum() / pairs.sum().clamp(min=1)


def relevance(sigma: Tensor) -> Tensor:
    """How much it matters what predictions from these noise levels look like."""
    return ((UNSEEN - sigma) / (UNSEEN - SEEN)).clamp(0, 1)


class DiTTask:
    """Velocity-weighted squared error of the clean prediction, over the patches that are to be generated.

    Beside it a reader, which is not exported, sees to it that the text tokens keep every attribute that is named, and
    a `critic` that predicted clips look to it as the clean ones do, see `perceived_difference`. With `drafts`, a share
    of a batch's tokens, it also reads clips that are drawn from noise, see `missed` and `strayed`.
    """

    def __init__(
        self,
        config: SoraConfig,
        shards: list[LatentShard],
        text: TextEncoder,
        vae: VideoVAE,
        *,
        seed: int = 0,
        tokens: int = 4096,
        pictures: float = 0.3,
        shares: Mapping[str, float] | None = None,
        compile: bool = True,
        device: torch.device | str = "cpu",
        shard: bool = False,
        critic: Critic | None = None,
        drafts: float = 0.0,
    ):
        self.config, self.shards, self.seed, self.tokens = config, shards, seed, tokens
        self.pictures, self.device = pictures, torch.device(device)
        self.text = text.to(self.device).eval().requires_grad_(False)
        self.vae = vae.to(self.device).eval().requires_grad_(False)
        self.tokenizer = text.tokenizer()
        self.dit = DiT(config.dit, config.vae.compression, device="meta" if shard else None)
        if shard:
            shard_blocks(self.dit, self.device)
        for parameter, weight in self.dit.first_weights(generator(seed, "dit")):
            fill(parameter, weight)
        self.reader = AttributeReader(config.dit.width, generator(seed, "reader"))
        self.module = nn.ModuleDict({"dit": self.dit, "reader": self.reader}).to(self.device)
        self.trunk = torch.compile(self.dit.trunk, dynamic=True) if compile else self.dit.trunk
        self.critic = None if critic is None else critic.to(self.device).eval().requires_grad_(False)
        self.weights = shard_weights(shards, shares or {})
        self.clip_weights = [clip_weights(shard) for shard in shards]
        self.drafts, self.draft_weights = drafts, draft_weights(shards)
        if drafts and not self.draft_weights.any():
            raise ValueError("the folder holds no sandbox clips to draw drafts of; make some with: sora worlds")

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

    def words(self, shard: LatentShard, row: int, mirror: int, draws: torch.Generator) -> tuple[str, tuple[int, ...]]:
        """A caption in either language and style and what it names; one in ten is empty, as guidance's opposite."""
        empty, chinese, short = torch.rand(3, generator=draws).tolist()
        if shard.captions is not None:
            texts = shard.captions[row]
            return ("" if empty < 0.1 else texts[int(short * len(texts))]), UNKNOWN
        attributes = shown(shard.world, tuple(shard.labels[row].tolist()), mirrored=bool(mirror))
        if empty < 0.1 or attributes is None:
            return "", UNKNOWN
        sandbox = isinstance(attributes, Attributes)
        language = "zh" if chinese < 0.4 else "en"
        style = "short" if short < 0.4 else LOOSE if short < 0.55 and sandbox else "descriptive"
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

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        sequences, draws = self.row(step)
        clean = torch.cat([s.tokens for s in sequences])
        noise = torch.randn(clean.shape, generator=draws).to(self.device)
        clean, sigma = clean.to(self.device), torch.cat([s.sigma for s in sequences]).to(self.device)
        noisy = (1 - sigma[:, None]) * clean + sigma[:, None] * noise
        words = self.text_tokens([s.text for s in sequences])
        generated = sigma > 0
        predicted = torch.where(generated[:, None], self.predict(noisy, sigma, sequences, words), clean)
        error = predicted - clean
        squares = error.square().mean(1)
        loss = (loss_weight(sigma) * squares)[generated].mean()
        starts = torch.tensor([0, *(len(s.sigma) for s in sequences[:-1])]).cumsum(0)
        earlier = torch.cat([start + s.earlier for start, s in zip(starts, sequences, strict=True)])
        change = change_loss(error, sigma, earlier.to(self.device))
        labels = torch.tensor([s.labels for s in sequences])
        with mixed(self.device):
            answers = self.reader(words, torch.ones(words.shape[:2], dtype=torch.bool, device=self.device))
        reading = reading_loss(answers, labels.to(self.device))
        figures = {
            "mse": float(squares.detach()[generated].mean()),
            "change": float(change.detach()),
            "reading": float(reading.detach()),
        }
        loss = loss + CHANGE_WEIGHT * change + READING_WEIGHT * reading
        if self.critic is not None:
            perceived = self.perceived(sequences, clean, predicted, draws)
            figures["perceived"] = float(perceived.detach())
            loss = loss + PERCEIVED_WEIGHT * perceived
        if self.drafts:
            lacking, astray = self.drawn(step)
            figures["missed"] = float(lacking.detach())
            loss = loss + MISSED_WEIGHT * (lacking + astray)
        return loss, figures, len(sequences)

    def asked(self, draws: torch.Generator) -> tuple[list[Sequence], dict[str, Tensor]]:
        """As many clips of one size as drafts may take tokens, each with words, and what is `left_open` by such."""
        number = int(torch.multinomial(self.draft_weights, 1, generator=draws))
        shard, sequences = self.shards[number], list[Sequence]()
        sheets, named = list[tuple[int, ...]](), list[tuple[int, ...]]()
        left = self.tokens * self.drafts
        while left > 0 or len(sheets) < CAPTIONS:
            row = int(torch.multinomial(self.clip_weights[number], 1, generator=draws))
            mirror = int(torch.randint(2, (), generator=draws))
            text, labels = self.words(shard, row, mirror, draws)
            if text:
                sheets.append(shown(shard.world, tuple(shard.labels[row].tolist()), mirrored=bool(mirror)).indices())
                named.append(labels)
            if text and left > 0:
                latent = shard.clips[row, mirror].float()
                sequences.append(self.sequence(latent, text, labels, shard.fps, draws, circular=False))
                left -= len(sequences[-1].tokens) + self.config.dit.text_tokens
        return sequences, left_open(torch.tensor(sheets), torch.tensor(named))

    def drawn(self, step: int) -> tuple[Tensor, Tensor]:
        """`missed` and `strayed` of clips that are drawn from noise for captions of the data: means over them."""
        assert self.critic is not None
        draws = generator(self.seed, "drafts", step)
        (sequences, usual), config = self.asked(draws), self.config.dit
        n = len(sequences[0].tokens)

        def told(words: Tensor) -> Denoiser:
            def predict(x: Tensor, sigma: Tensor) -> Tensor:
                levels = sigma.repeat_interleave(n)
                return self.predict(x.flatten(0, 1), levels, sequences, words).unflatten(0, (-1, n))

            return predict

        words = self.text_tokens([s.text for s in sequences])
        nothing = self.text_tokens([""]).expand_as(words)
        # Without the gradient of what guidance leads away from, every step would multiply that of the next.
        model = guide(told(words), told(nothing), DEFAULT_GUIDANCE, interval=(config.guided_above, 1.0))
        noise = torch.randn((len(sequences), *sequences[0].tokens.shape), generator=draws).to(self.device)
        tokens = dpmpp_2m(model, noise, schedule(STEPS, n, lowest=config.lowest_sigma).to(self.device))
        cells, patch = sequences[0].cells, config.patch
        made = unpatchify(tokens, (cells[0] // patch[0], cells[1] // patch[1], cells[2] // patch[2]), patch)
        with mixed(self.device):
            seen = read(self.critic, made, draws)
        labels = torch.tensor([s.labels for s in sequences], device=self.device)
        return missed(seen, labels).mean(), strayed(seen, labels, usual).mean()

    def perceived(self, sequences: list[Sequence], clean: Tensor, predicted: Tensor, draws: torch.Generator) -> Tensor:
        """`perceived_difference` of the samples of a row that a critic can read, a mean over them."""
        assert self.critic is not None
        alike: dict[tuple[int, int, int], list[tuple[Tensor, Tensor, Sequence]]] = {}
        lengths = [len(s.sigma) for s in sequences]
        for sequence, x, y in zip(sequences, clean.split(lengths), predicted.split(lengths), strict=True):
            if sequence.labels[0] != UNKNOWN[0] and not sequence.loop and relevance(sequence.sigma.max()) > 0:
                alike.setdefault(sequence.cells, []).append((x, y, sequence))
        total, count, patch = clean.new_zeros(()), 0, self.config.dit.patch
        for cells, samples in alike.items():
            grid = (cells[0] // patch[0], cells[1] // patch[1], cells[2] // patch[2])
            clips, predictions, described = zip(*samples, strict=True)
            real, made = (unpatchify(torch.stack(tokens), grid, patch) for tokens in (clips, predictions))
            asked = torch.tensor([s.labels for s in described], device=self.device) > 0
            weights = relevance(torch.stack([s.sigma.max() for s in described])).to(self.device)
            with mixed(self.device):
                total = total + (weights * perceived_difference(self.critic, real, made, asked, draws)).sum()
            count += len(samples)
        return total / max(1, count)

    def text_tokens(self, texts: Iterable[str]) -> Tensor:
        """What the transformer reads of some texts, `s k width`, in mixed precision; the encoder learns nothing."""
        ids, mask = self.tokenizer.encode(list(texts))
        longest = int(mask.sum(1).max())
        ids, mask = ids[:, :longest].to(self.device), mask[:, :longest].to(self.device)
        with mixed(self.device):
            with torch.no_grad():
                states = self.text(ids, mask)
            return self.dit.refiner(states, mask)

    def predict(self, noisy: Tensor, sigma: Tensor, sequences: list[Sequence], words: Tensor) -> Tensor:
        """The transformer's clean patches for one row, in mixed precision."""
        dit = self.dit
        places = ([s.cos for s in sequences], [s.sin for s in sequences], [s.still for s in sequences])
        cos, sin, still = (torch.cat(part).to(self.device) for part in places)
        lengths = tuple(len(s.sigma) for s in sequences)
        with mixed(self.device):
            segments, order, patches, level_of_token, levels, cos, sin = dit.arrange(sigma, cos, sin, lengths)
            x = dit.entry(noisy) + dit.still_embed(still.long())
            x = torch.cat([words.flatten(0, 1).to(x.dtype), x]).index_select(0, order).float()
            row = RowContext(torch.tensor(segments.lengths), cos, sin, level_of_token)
            return self.trunk(x, levels, row, patches).float()

    def fit_reader(self, batches: int = 128) -> float:
        """Teaches the reader what the text tokens say by now; returns its loss."""
        draws = generator(self.seed, "fit reader")
        kept = []
        for _ in range(batches):
            texts, labels = zip(*(self.words(*self.pick(draws), draws) for _ in range(128)), strict=True)
            with torch.no_grad():
                words = self.text_tokens(texts).float()
            mask = torch.ones(words.shape[:2], dtype=torch.bool)
            kept.append((words, mask.to(self.device), torch.tensor(labels).to(self.device)))
        return self.reader.fit(kept)

    @torch.no_grad()
    def sheet(self, path: Path) -> None:
        sora = Sora(self.config, self.dit, self.vae, self.text)
        shape = VideoShape(num_frames=17, height=64, width=64, fps=8)
        latents = sora.sample(list(PROMPTS), shape, list(range(len(PROMPTS))), steps=16)
        if parallel.rank() == 0:
            contact_sheet([sora.frames(latent[None])[0] for latent in latents], path, columns=6)
