"""Training the transformer: packed rows of clips and pictures of every size, each patch at its own noise level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import SoraConfig
from ..data.latents import LatentShard
from ..diffusion.guidance import guide
from ..diffusion.process import loss_weight
from ..diffusion.samplers import Denoiser, dpmpp_2m
from ..diffusion.schedules import schedule
from ..dit import DiT
from ..dit.block import RowContext
from ..patches import unpatchify
from ..pipeline import DEFAULT_GUIDANCE, Sora
from ..randomness import generator
from ..shapes import VideoShape
from ..text.encoder import TextEncoder
from ..vae import VideoVAE
from . import parallel
from .critic import Critic, perceived_difference
from .drafts import STEPS, Drafts, missed
from .pictures import contact_sheet
from .precision import mixed
from .reading import UNKNOWN, AttributeReader, reading_loss
from .rows import Rows, Sequence
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
FITTED_NUMBERS = 2**29
"""Most numbers of text tokens that are kept for teaching the reader, two gigabytes: large transformers read 256 tokens
of each text, and would fill a card with those of as many texts as a small one's reader learns from."""
PERCEIVED_WEIGHT = 0.01
"""How much it counts what a critic sees: about as much as the error of clips, where gradients enter the transformer."""
MISSED_WEIGHT = 0.003
"""How much it counts what a critic misses in clips that are drawn from noise: by its gradient, about as much as the
error of clips."""
UNSEEN, SEEN = 0.85, 0.7
"""Noise levels from which on predictions are means of much that could be there, and below which they should not be.

Where a critic looks above, a second toy that could be on either side is best seen on both."""


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
    of a batch's tokens, it also reads clips that are drawn from noise, see `missed`.
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
        self.config, self.tokens, self.device = config, tokens, torch.device(device)
        self.rows = Rows(config, shards, seed=seed, tokens=tokens, pictures=pictures, shares=shares or {})
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
        self.drafts = Drafts(self.rows, drafts) if drafts else None

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        sequences, draws = self.rows.row(step)
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
        if self.drafts is not None:
            drawn = self.missed(self.drafts, step)
            figures["missed"] = float(drawn.detach())
            loss = loss + MISSED_WEIGHT * drawn
        return loss, figures, len(sequences)

    def missed(self, drafts: Drafts, step: int) -> Tensor:
        """`missed` of clips that are drawn from noise for captions of the data: a mean over them."""
        assert self.critic is not None
        draws = generator(self.rows.seed, "drafts", step)
        sequences, config = drafts.asked(draws), self.config.dit
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
        made = unpatchify(tokens, sequences[0].grid(config.patch), config.patch)
        with mixed(self.device):
            labels = torch.tensor([s.labels for s in sequences], device=self.device)
            return missed(self.critic, made, labels, draws).mean()

    def perceived(self, sequences: list[Sequence], clean: Tensor, predicted: Tensor, draws: torch.Generator) -> Tensor:
        """`perceived_difference` of the samples of a row that a critic can read, a mean over them."""
        assert self.critic is not None
        alike: dict[tuple[int, int, int], list[tuple[Tensor, Tensor, Sequence]]] = {}
        lengths = [len(s.sigma) for s in sequences]
        for sequence, x, y in zip(sequences, clean.split(lengths), predicted.split(lengths), strict=True):
            if sequence.labels[0] != UNKNOWN[0] and not sequence.loop and relevance(sequence.sigma.max()) > 0:
                alike.setdefault(sequence.cells, []).append((x, y, sequence))
        total, count, patch = clean.new_zeros(()), 0, self.config.dit.patch
        for samples in alike.values():
            clips, predictions, described = zip(*samples, strict=True)
            grid = described[0].grid(patch)
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
        draws, config = generator(self.rows.seed, "fit reader"), self.config.dit
        each = max(1, min(128, FITTED_NUMBERS // (batches * config.text_tokens * config.width)))
        kept = []
        for _ in range(batches):
            texts, labels = zip(*(self.rows.words(*self.rows.pick(draws), draws) for _ in range(each)), strict=True)
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
