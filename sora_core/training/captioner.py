"""Training the captioner: to tell of rendered clips, word by word, what the worlds' own descriptions tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.store import ClipStore
from ..data.worlds.attributes import Attributes
from ..data.worlds.captions import STILL, compose
from ..evaluation.captions import CaptionScore, caption_score
from ..evaluation.judge import SPACING, load_judge
from ..randomness import generator
from ..text.captioner import (
    END,
    MOST_WORDS,
    SPECIAL,
    UNKNOWN,
    Captioner,
    CaptionerConfig,
    describe,
    vocabulary,
    words_of,
)
from .judge import JudgeTask, mirrored, worsened
from .pictures import contact_sheet

CAPTIONS = 2
"""Captions of every clip in a batch, in both languages."""
LOOKS = 192
"""Batches that are looked at; then they come again, with other captions. Looking costs far more than telling."""
HELD_OUT = 8
"""Batches of held-out clips that a trained captioner is measured on."""
NOTHING = -100
"""The target where no word is asked for: after the end, and where the vocabulary lacks one."""


class CaptionerTask:
    """Cross-entropy of the next word of descriptive captions, on the judge's batches of clips and stills.

    `words` are those of a captioner that is gone on with, instead of the lexicon's.
    """

    def __init__(
        self, store: ClipStore, *, seed: int = 0, words: tuple[str, ...] | None = None,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        self.clips, self.seed, self.device = JudgeTask(store, seed=seed), seed, torch.device(device)
        self.module = Captioner(CaptionerConfig(words=words or vocabulary()))
        self.module.initialise(generator(seed, "captioner"), load_judge())
        self.module.to(self.device)
        self.number = {word: i for i, word in enumerate(self.module.config.words)}
        self.looks: dict[int, tuple[Tensor, Tensor, bool]] = {}

    def look(self, number: int) -> tuple[Tensor, Tensor, bool]:
        """What the eyes see of a batch of spoilt clips, `b a 2c`, their labels, and whether they are stills."""
        if number not in self.looks:
            draws = generator(self.seed, "looks", number)
            video, labels = mirrored(*self.clips.batch(number, self.clips.shards), draws)
            with torch.no_grad():
                seen = self.module.eyes.features(worsened(video.to(self.device), draws))
            self.looks[number] = seen, labels, video.shape[2] == 1
        return self.looks[number]

    def told(self, labels: Tensor, still: bool, draws: torch.Generator) -> Tensor:
        """Word numbers `captions l` of one caption for each row of labels, in one language after the other."""
        rows = []
        for i, row in enumerate(labels.tolist()):
            language = ("en", "zh")[i % 2]
            attributes = replace(Attributes.from_indices(tuple(row)), second_side="none")  # the eyes were not asked
            text = compose(attributes, draws, language, STILL if still else "descriptive").text
            start = SPECIAL.index(f"<{language} still>" if still else f"<{language}>")
            words = [self.number.get(word, UNKNOWN) for word in words_of(text)][: MOST_WORDS - 1]
            rows.append(torch.tensor([start, *words, END]))
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=NOTHING)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        draws = generator(self.seed, "captions", step)
        seen, labels, still = self.look(step % LOOKS)
        each = 1 if still else CAPTIONS
        ids = self.told(labels.repeat_interleave(each, 0), still, draws).to(self.device)
        logits = self.module(seen.repeat_interleave(each, 0), ids[:, :-1].clamp(min=0))
        target = ids[:, 1:].masked_fill(ids[:, 1:] == UNKNOWN, NOTHING)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=NOTHING)
        asked = target != NOTHING
        right = float((logits.argmax(-1) == target)[asked].float().mean())
        return loss, {"words": right}, len(labels)

    @torch.inference_mode()
    def accuracy(self) -> CaptionScore:
        """What captions of held-out clips tell, against what the clips show; nothing is counted if there are none."""
        score = CaptionScore()
        for i in range(HELD_OUT if self.clips.held_out else 0):
            video, labels = self.clips.batch(-4 - 4 * i, self.clips.held_out)  # clips, if there are any
            sheets = [Attributes.from_indices(tuple(row)) for row in labels.tolist()]
            for language in ("en", "zh"):
                texts = describe(self.module, video, 1 / SPACING, language)
                score += caption_score(texts, sheets, still=video.shape[2] == 1)
        return score

    def sheet(self, path: Path) -> None:
        """Some held-out clips, and what the captioner says of them in a file beside them."""
        video, _ = self.clips.batch(-4, self.clips.held_out or self.clips.shards)
        texts = describe(self.module, video[:8], 1 / SPACING)
        contact_sheet(list(video[:8]), path, columns=9)
        path.with_suffix(".txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
