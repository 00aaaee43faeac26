"""Training the text encoder: from its token states, every attribute that a caption names must be readable."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import TextConfig
from ..data.worlds.captions import LOOSE, compose
from ..data.worlds.scene import sample_attributes
from ..randomness import generator
from ..text.encoder import TextEncoder
from .precision import mixed
from .reading import AttributeReader, reading_labels, reading_loss

CAPTIONS = ("short", LOOSE, "descriptive", LOOSE)
"""Styles of the captions, in turn: people write as no template does."""


class TextTask:
    """Cross-entropy of every attribute over captions of both languages and all styles."""

    def __init__(self, config: TextConfig, *, seed: int = 0, batch: int = 128):
        self.seed, self.batch_size = seed, batch
        encoder = TextEncoder(config)
        self.reader = AttributeReader(config.width, generator(seed, "reader"))
        encoder.initialise(generator(seed, "text"))
        self.module = nn.ModuleDict({"encoder": encoder, "reader": self.reader})
        self.tokenizer = encoder.tokenizer()

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Ids `b l f`, mask `b l` and labels `b attributes` (0 = unnamed) of one step's captions."""
        draws = generator(self.seed, "captions", step)
        texts, labels = [], []
        for i in range(self.batch_size):
            attributes = sample_attributes(draws, held_out=False)
            language, style = ("en", "zh")[i % 2], CAPTIONS[i // 2 % len(CAPTIONS)]
            said = compose(attributes, draws, language, style)
            texts.append(said.text)
            labels.append(reading_labels(attributes, said.mentioned))
        ids, mask = self.tokenizer.encode(texts)
        # Words must be readable from their parts, or a word that no caption used would be unreadable.
        dropped = torch.rand(ids.shape, generator=draws) < 0.2
        dropped[..., -1] = False
        ids = ids.masked_fill(dropped & (ids > 0), 0)
        return ids, mask, torch.tensor(labels)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        ids, mask, labels = self.batch(step)
        with mixed(ids.device):
            answers = self.reader(self.module["encoder"](ids, mask), mask)
        right = [float((a.argmax(-1) == labels[:, i]).float().mean()) for i, a in enumerate(answers)]
        return reading_loss(answers, labels), {"right": sum(right) / len(right), "worst": min(right)}, len(ids)

    def fit_reader(self, batches: int = 128) -> float:
        """Teaches the reader what the encoder's states say by now; returns its loss."""
        kept = []
        for number in range(batches):
            ids, mask, labels = self.batch(-1 - number)
            with torch.no_grad(), mixed(ids.device):
                kept.append((self.module["encoder"](ids, mask).float(), mask, labels))
        return self.reader.fit(kept)

    def sheet(self, path: Path) -> None:
        """Text has no picture."""
