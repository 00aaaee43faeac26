"""Training the text encoder: from its token states, every attribute that a caption names must be readable.

One that a transformer was trained with can learn more words, without that transformer being trained again.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import TextConfig
from ..data.worlds.captions import LOOSE, compose, plainest
from ..data.worlds.catalogue import WORLDS
from ..data.worlds.filming import scene_for
from ..data.worlds.scene import Mix, sample_attributes
from ..pipeline import Sora
from ..randomness import generator
from ..text.encoder import TextEncoder
from .precision import mixed
from .reading import UNKNOWN, AttributeReader, reading_labels, reading_loss

CAPTIONS = ("short", LOOSE, "descriptive", LOOSE)
"""Styles of the captions, in turn: people write as no template does."""
WORDINGS = (
    ("sandbox", LOOSE), ("sandbox", LOOSE), ("sandbox", "short"), ("painter", "short"),
    ("sandbox", LOOSE), ("sandbox", "descriptive"), ("sandbox", LOOSE), ("arcade", "descriptive"),
    ("sandbox", LOOSE), ("sandbox", LOOSE), ("sandbox", "short"), ("painter", "descriptive"),
    ("sandbox", LOOSE), ("sandbox", "descriptive"), ("sandbox", LOOSE), ("arcade", "short"),
)  # fmt: skip
"""Worlds and styles, in turn, of the captions that are reworded or, in the other worlds, kept as they are."""
REWORDED = Mix(pairs=0.45, walls=0.15)
"""What they are about in the sandbox: more second toys and walls than usual, whose words are learnt last."""
READING_WEIGHT = 0.02
"""How much it counts beside rewording that the states tell what captions name, in words that the model did not know."""


class TextTask:
    """Cross-entropy of every attribute over captions of both languages and all styles."""

    def __init__(self, config: TextConfig, *, seed: int = 0, batch: int = 128, device: torch.device | str = "cpu"):
        self.seed, self.batch_size, self.device = seed, batch, torch.device(device)
        encoder = TextEncoder(config)
        self.reader = AttributeReader(config.width, generator(seed, "reader"))
        encoder.initialise(generator(seed, "text"))
        self.module = nn.ModuleDict({"encoder": encoder, "reader": self.reader}).to(self.device)
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
        return without_some_parts(ids, draws), mask, torch.tensor(labels)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        ids, mask, labels = (x.to(self.device) for x in self.batch(step))
        with mixed(ids.device):
            answers = self.reader(self.module["encoder"](ids, mask), mask)
        right = [float((a.argmax(-1) == labels[:, i]).float().mean()) for i, a in enumerate(answers)]
        return reading_loss(answers, labels), {"right": sum(right) / len(right), "worst": min(right)}, len(ids)

    def sheet(self, path: Path) -> None:
        """Text has no picture."""


class RewordTask:
    """More words for the text encoder of a trained model: what it says of any caption, it says as of the plainest.

    The transformer reads what its refiner makes of the encoder's states. That is to become, for a caption in any words,
    what it was for the one that says the same in the words the transformer knows best (distillation: Hinton et al.,
    2015). What it was for those, and for what is said of the other worlds, is kept. Beside it a reader, which is not
    exported, asks the states for every attribute, also for one that was in no caption when the model was trained: the
    transformer can learn it afterwards.
    """

    def __init__(self, model: Sora, *, seed: int = 0, batch: int = 64):
        self.seed, self.batch_size, self.device = seed, batch, model.device
        self.teacher = model.text.eval().requires_grad_(False)
        self.refiner = model.dit.refiner.eval().requires_grad_(False)
        self.reader = AttributeReader(model.config.text.width, generator(seed, "reader")).to(self.device)
        self.module = nn.ModuleDict(
            {"encoder": deepcopy(model.text).train().requires_grad_(True), "reader": self.reader}
        )
        self.tokenizer = model.text.tokenizer()

    def batch(self, step: int) -> tuple[list[str], list[str], Tensor, torch.Generator]:
        """One step's captions, the plainest that say the same, labels `b attributes`, and where more draws come from.

        Labels are `reading_labels`, or `UNKNOWN` for what is said of the other worlds.
        """
        draws = generator(self.seed, "rewording", step)
        texts, plain, labels = [], [], []
        for i in range(self.batch_size):
            language, (world, style) = ("en", "zh")[i % 2], WORDINGS[i // 2 % len(WORDINGS)]
            if world == "sandbox":
                attributes = sample_attributes(draws, held_out=False, mix=REWORDED)
                said = compose(attributes, draws, language, style)
                plain.append(plainest(attributes, said.mentioned, language))
                labels.append(reading_labels(attributes, said.mentioned))
            else:
                said = WORLDS[world].compose(scene_for(world, draws, seconds=2.0).attributes, draws, language, style)
                plain.append(said.text)
                labels.append(UNKNOWN)
            texts.append(said.text)
        return texts, plain, torch.tensor(labels), draws

    def states(
        self, encoder: nn.Module, texts: list[str], draws: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """An encoder's states of texts `b l d` and their mask; with `draws` some parts of their words are missing."""
        ids, mask = self.tokenizer.encode(texts)
        longest = int(mask.sum(1).max())
        ids, mask = ids[:, :longest], mask[:, :longest].to(self.device)
        if draws is not None:
            ids = without_some_parts(ids, draws)
        return encoder(ids.to(self.device), mask), mask

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        texts, plain, labels, draws = self.batch(step)
        encoder = self.module["encoder"]
        with mixed(self.device):
            with torch.no_grad():
                wanted = self.refiner(*self.states(self.teacher, plain)).float()
            states, mask = self.states(encoder, texts, draws)
            reworded = F.mse_loss(self.refiner(states, mask).float(), wanted)
            kept = F.mse_loss(self.refiner(*self.states(encoder, plain)).float(), wanted)
            reading = reading_loss(self.reader(states, mask), labels.to(self.device))
        figures = {
            name: float(x.detach()) for name, x in (("reworded", reworded), ("kept", kept), ("reading", reading))
        }
        return reworded + kept + READING_WEIGHT * reading, figures, len(texts)

    def fit_reader(self, batches: int = 24) -> float:
        """Teaches the reader what the encoder's states say by now; returns its loss."""
        kept = []
        for number in range(batches):
            texts, _, labels, _ = self.batch(-1 - number)
            with torch.no_grad():
                states, mask = self.states(self.module["encoder"], texts)
            kept.append((states.float(), mask, labels.to(self.device)))
        return self.reader.fit(kept)

    def sheet(self, path: Path) -> None:
        """Text has no picture."""


def without_some_parts(ids: Tensor, draws: torch.Generator) -> Tensor:
    """Feature ids `b l f` with some parts of words missing.

    Words must be readable from the others, or a word that no caption used would be unreadable.
    """
    dropped = torch.rand(ids.shape, generator=draws) < 0.2
    dropped[..., -1] = False
    return ids.masked_fill(dropped & (ids > 0), 0)
