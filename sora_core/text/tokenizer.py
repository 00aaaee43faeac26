"""Text to hashed feature ids: any word of any language has an id, and no vocabulary is learned or shipped."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_PIECES = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")
_EMPTY = "<empty>"


@dataclass(frozen=True)
class Token:
    """One word, or one Chinese, Japanese or Korean character, with the ids of its features."""

    text: str
    features: tuple[int, ...]


def normalise(text: str) -> str:
    """`text` in compatibility form and without case, so that full-width and upper-case spellings agree."""
    return unicodedata.normalize("NFKC", text).casefold()


def pieces(text: str) -> list[str]:
    """The words and single CJK characters of `text`, normalised and in order; punctuation only separates."""
    return _PIECES.findall(normalise(text))


@lru_cache(maxsize=65536)
def _feature(name: str, buckets: int) -> int:
    return 1 + zlib.crc32(name.encode()) % buckets


@lru_cache(maxsize=65536)
def _word_features(word: str, buckets: int, limit: int) -> tuple[int, ...]:
    """The whole word, then its character 3-, 4- and 5-grams: short grams first, so a long word keeps its ending."""
    marked = f"^{word}$"
    grams = [f"g:{marked[i : i + n]}" for n in (3, 4, 5) for i in range(len(marked) - n + 1)]
    names = list(dict.fromkeys([f"w:{word}", *grams]))[:limit]
    return tuple(_feature(name, buckets) for name in names)


@lru_cache(maxsize=65536)
def _character_features(before: str, character: str, after: str, buckets: int, limit: int) -> tuple[int, ...]:
    """A character, its bigrams with both neighbours, and the trigram around it ("" where there is no neighbour)."""
    names = [f"c:{character}"]
    if before:
        names.append(f"c:{before}{character}")
    if after:
        names.append(f"c:{character}{after}")
    if before and after:
        names.append(f"c:{before}{character}{after}")
    return tuple(_feature(name, buckets) for name in names[:limit])


class Tokenizer:
    """Turns prompts into ids of hashed words and character n-grams, as fastText does (Bojanowski et al., 2017).

    Args:
        max_tokens: l, the length every encoded prompt is padded or cut to.
        buckets: number of hash values; ids run from 1 to `buckets`, and 0 is padding: a table has `buckets + 1` rows.
        ngrams: f, the most features one token may have.
    """

    def __init__(self, max_tokens: int = 48, buckets: int = 16384, ngrams: int = 12) -> None:
        for name, value in (("max_tokens", max_tokens), ("buckets", buckets), ("ngrams", ngrams)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        self.max_tokens = max_tokens
        self.buckets = buckets
        self.ngrams = ngrams

    def tokenize(self, text: str) -> list[Token]:
        """Every token of `text`, however long it is; a text without words gives the one token of the empty prompt."""
        words = pieces(text)
        if not words:
            return [Token(_EMPTY, (_feature(_EMPTY, self.buckets),))]
        tokens = []
        for i, word in enumerate(words):
            if _IS_CJK.match(word):
                before = words[i - 1] if i and _IS_CJK.match(words[i - 1]) else ""
                after = words[i + 1] if i + 1 < len(words) and _IS_CJK.match(words[i + 1]) else ""
                features = _character_features(before, word, after, self.buckets, self.ngrams)
            else:
                features = _word_features(word, self.buckets, self.ngrams)
            tokens.append(Token(word, features))
        return tokens

    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """The ids of a batch of prompts, all of one length so that any two batches have equal shapes.

        Tokens after the first `max_tokens` are cut off; `overflow` tells which.

        Returns:
            ids int64 (b, l, f) with 0 where there is no feature, and mask bool (b, l), true where there is a token.
        """
        rows: list[list[int]] = []
        lengths = []
        for text in texts:
            tokens = self.tokenize(text)[: self.max_tokens]
            row: list[int] = []
            for token in tokens:
                row.extend(token.features)
                row.extend([0] * (self.ngrams - len(token.features)))
            row.extend([0] * (self.max_tokens * self.ngrams - len(row)))
            rows.append(row)
            lengths.append(len(tokens))
        ids = torch.tensor(rows, dtype=torch.int64).reshape(len(texts), self.max_tokens, self.ngrams)
        mask = torch.arange(self.max_tokens) < torch.tensor(lengths, dtype=torch.int64)[:, None]
        return ids, mask

    def overflow(self, text: str) -> list[str]:
        """The words at the end of `text` that `encode` cuts off: empty when the prompt fits."""
        return [token.text for token in self.tokenize(text)[self.max_tokens :]]

    def unread_note(self, texts: Iterable[str]) -> str:
        """What to tell about captions of which `encode` cuts something off; empty when all fit."""
        long = sum(len(pieces(text)) > self.max_tokens for text in set(texts))
        if not long:
            return ""
        captions = "a caption is" if long == 1 else f"{long} captions are"
        return f"{captions} longer than {self.max_tokens} words; what comes after these is not read"
