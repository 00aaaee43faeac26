"""The phrases of a prompt: every stretch of its words that the lexicon knows, and what each names."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from ..data.worlds import lexicon
from .tokenizer import pieces

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff_]+|[,.;:!?，。；：！？、\n]")
_CAMERA = frozenset({"camera", "cameras", "shot", "view", "lens", "镜头", "机位", "相机", "影机", "像机", "运镜"})
_CLAUSE_END = frozenset({"as", "while", "of", "that", "where", "showing"})
_FOLLOWS = frozenset({"follow", "follows", "following", "跟"})
"""What a camera does to a thing, of which the rest of the clause then speaks."""
IGNORED = "ignore"
"""What phrases are said to name that only look as if they named a value."""


@dataclass(frozen=True)
class Mention:
    """A phrase of the prompt and what it names: `start` and `end` count characters of the prompt.

    It goes from its `first_word` to its `last_word`; a `weak` one is a mere hint.
    """

    attribute: str
    value: str
    start: int
    end: int
    first_word: int
    last_word: int
    weak: bool


@dataclass(frozen=True)
class Word:
    """A word or a separator of a prompt, and the characters that it has there."""

    text: str
    start: int
    end: int

    @property
    def separates(self) -> bool:
        return not self.text[0].isalnum()


def split_words(text: str) -> list[Word]:
    """The words and separators of `text`; full-width and upper-case letters agree with plain ones, one for one."""
    letters = (unicodedata.normalize("NFKC", letter).lower() for letter in text)
    matched = "".join(new if len(new) == 1 else old for new, old in zip(letters, text, strict=True))
    return [Word(match[0], match.start(), match.end()) for match in _WORD.finditer(matched)]


def _forms(attribute: str, key: str, language: str) -> list[str]:
    """The spellings of a phrase in a prompt: English nouns in the plural, verbs in three forms."""
    if language != "en":
        return [key]
    if attribute in ("motion", "camera"):
        return [key, lexicon.third_person(key), lexicon.participle(key)]
    if attribute == "subject":
        return [key, key + "es" if key.endswith(("x", "sh", "ch", "s")) else key + "s"]
    return [key]


@cache
def phrase_table() -> dict[tuple[str, ...], list[tuple[str, str, bool]]]:
    """Every phrase as a tuple of words, with the (attribute, value, weak) it may stand for."""
    table: dict[tuple[str, ...], list[tuple[str, str, bool]]] = {}

    def add(key: str, attribute: str, value: str, weak: bool) -> None:
        meanings = table.setdefault(tuple(pieces(key)), [])
        if all(meaning[:2] != (attribute, value) for meaning in meanings):
            meanings.append((attribute, value, weak))

    for language in lexicon.LANGUAGES:
        words = lexicon.load(language)
        for attribute, values in words.phrases.items():
            for value, phrases in values.items():
                if attribute.startswith("second_") and value != "none":
                    continue
                for phrase in phrases:
                    for form in _forms(attribute, phrase.key, language):
                        add(form, attribute, value, weak=False)
        for value, phrases in words.shots.items():
            for phrase in phrases:
                add(phrase.text, "shot", value, weak=False)
        for attribute, extra in words.also.items():
            for value, keys in extra.items():
                for key in keys:
                    add(key, attribute, value, weak=True)
        for key in words.ignore:
            add(key, IGNORED, key, weak=False)
    return table


@cache
def _longest() -> int:
    return max(len(key) for key in phrase_table())


def _in_camera_clause(words: list[Word]) -> list[bool]:
    """For every word, whether its clause has spoken of the camera before it."""
    flags, inside = [], False
    for i, word in enumerate(words):
        if word.separates or word.text in _CLAUSE_END:
            inside = False
        flags.append(inside)
        if word.text in _FOLLOWS:
            inside = False
        pair = word.text + (words[i + 1].text if i + 1 < len(words) else "")
        if word.text in _CAMERA or pair in _CAMERA:
            inside = True
    return flags


def _meaning(key: tuple[str, ...], camera_clause: bool) -> tuple[str, str, bool] | None:
    """What a phrase stands for here: verbs that both a camera and a subject can do go by the clause they are in."""
    meanings = {attribute: (value, weak) for attribute, value, weak in phrase_table().get(key, ())}
    if "shot" in meanings:
        return ("camera", *meanings["shot"])
    if camera_clause:
        meanings.pop("motion", None)
    elif "motion" in meanings:
        meanings.pop("camera", None)
    if not camera_clause and meanings.get("camera", ("", False))[1] and not _CAMERA.intersection(key):
        meanings.pop("camera")
    for attribute, (value, weak) in meanings.items():
        return attribute, value, weak
    return None


def all_mentions(words: list[Word]) -> list[Mention]:
    """Every phrase of the prompt, from left to right, longest first, none overlapping."""
    mentions = []
    camera = _in_camera_clause(words)
    i = 0
    while i < len(words):
        for length in range(min(_longest(), len(words) - i), 0, -1):
            found = _meaning(tuple(word.text for word in words[i : i + length]), camera[i])
            if found is not None:
                mentions.append(
                    Mention(found[0], found[1], words[i].start, words[i + length - 1].end, i, i + length - 1, found[2])
                )
                i += length
                break
        else:
            i += 1
    return mentions
