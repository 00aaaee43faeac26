"""The words for every value of every attribute, in English and Chinese: one list that captions and prompts share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sora_core.data.worlds.attributes import ATTRIBUTES

LANGUAGES = ("en", "zh")

_DOUBLED = {"hop", "spin", "skip", "bob", "run", "pan", "sit", "get", "put", "swim", "step"}
_IRREGULAR_ING = {"lie": "lying", "tie": "tying", "die": "dying"}
_ADVERBS = {"slowly"}


@dataclass(frozen=True)
class Phrase:
    """Words that name a value: `key` is what names it, `lead` and `tail` make it fit into a sentence."""

    lead: str
    key: str
    tail: str

    @property
    def text(self) -> str:
        return self.lead + self.key + self.tail

    @classmethod
    def parse(cls, entry: str) -> Phrase:
        """`"key"`, `"lead|key"` or `"lead|key|tail"`."""
        parts = entry.split("|")
        if len(parts) == 1:
            return cls("", parts[0], "")
        return cls(parts[0], parts[1], parts[2] if len(parts) > 2 else "")


@dataclass(frozen=True)
class Lexicon:
    """All phrases of one language; the first phrase of a value is its canonical one.

    `phrases[attribute][value]` serve captions; English motions and cameras are verbs in their plain form.
    `shots[value]` are camera moves as nouns, `relations[side]` place the second subject (`{}`) beside the first,
    `stands[side]` is a sentence that does so for a noun named before, `adjectives`, `aspects` (of a verb: "keeps
    {doing}"), `requests` ("show me {}") and `fillers`, which may stand anywhere, say nothing about attributes,
    `also[attribute][value]` are further words that prompts and loose captions use, `templates[style]` are the
    sentence patterns of captions, and `ignore` lists phrases that only look as if they named a value.
    """

    language: str
    phrases: dict[str, dict[str, tuple[Phrase, ...]]]
    shots: dict[str, tuple[Phrase, ...]]
    relations: dict[str, tuple[str, ...]]
    stands: dict[str, str]
    adjectives: tuple[str, ...]
    aspects: tuple[str, ...]
    requests: tuple[str, ...]
    fillers: tuple[str, ...]
    also: dict[str, dict[str, tuple[str, ...]]]
    templates: dict[str, tuple[str, ...]]
    ignore: tuple[str, ...]


def _table(data: dict[str, list[str]]) -> dict[str, tuple[Phrase, ...]]:
    return {value: tuple(Phrase.parse(entry) for entry in entries) for value, entries in data.items()}


@cache
def load(language: str) -> Lexicon:
    """The lexicon of `language`, one of `LANGUAGES`.

    Raises:
        ValueError: the language is neither "en" nor "zh".
    """
    if language not in LANGUAGES:
        raise ValueError(f'language is {language!r}; it must be "en" or "zh"')
    source = files("sora_core.data.worlds").joinpath(f"lexicon_{language}.json")
    data = json.loads(source.read_text(encoding="utf-8"))
    phrases = {name: _table(data[name]) for name in ATTRIBUTES if name != "second_colour" and name in data}
    # A second subject is called what a first one is called; only its absence has words of its own.
    phrases["second_subject"] |= phrases["subject"]
    phrases["second_colour"] = phrases["colour"]
    also = {name: {v: tuple(words) for v, words in values.items()} for name, values in data["also"].items()}
    templates = {style: tuple(patterns) for style, patterns in data["templates"].items()}
    return Lexicon(
        language=language,
        phrases=phrases,
        shots=_table(data["shot"]),
        relations={side: tuple(patterns) for side, patterns in data["relation"].items()},
        stands=data["stands"],
        adjectives=tuple(data["adjective"]),
        aspects=tuple(data["aspect"]),
        requests=tuple(data["request"]),
        fillers=tuple(data["filler"]),
        also=also,
        templates=templates,
        ignore=tuple(data["ignore"]),
    )


def third_person(verb_phrase: str) -> str:
    """The English verb phrase after "it": "hop up" gives "hops up"."""
    verb, *rest = verb_phrase.split(" ")
    if verb in _ADVERBS:
        return f"{verb} {third_person(' '.join(rest))}"
    if verb in {"go", "do"} or verb.endswith(("s", "sh", "ch", "x", "z")):
        verb += "es"
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "s"
    return " ".join([verb, *rest])


def participle(verb_phrase: str) -> str:
    """The English verb phrase after "is": "hop up" gives "hopping up"."""
    verb, *rest = verb_phrase.split(" ")
    if verb in _ADVERBS:
        return f"{verb} {participle(' '.join(rest))}"
    if verb in _IRREGULAR_ING:
        verb = _IRREGULAR_ING[verb]
    elif verb in _DOUBLED:
        verb += verb[-1] + "ing"
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        verb = verb[:-1] + "ing"
    else:
        verb += "ing"
    return " ".join([verb, *rest])


def article(noun_phrase: str) -> str:
    """The noun phrase with "a" or "an" in front."""
    return ("an " if noun_phrase[:1].lower() in "aeiou" else "a ") + noun_phrase
