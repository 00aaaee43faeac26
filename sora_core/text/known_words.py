"""The words that captions are made of, and what to tell about those of a prompt that are none."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from ..data.worlds import arcade_captions, captions, lexicon, painter_captions
from .phrases import phrase_table
from .tokenizer import pieces


@cache
def known_words() -> frozenset[str]:
    """Every word and character that captions can contain: the encoder was trained on no other."""
    known = {word for key in phrase_table() for word in key}
    for language in lexicon.LANGUAGES:
        words = lexicon.load(language)
        patterns = [*words.adjectives, *words.aspects, *words.requests, *words.fillers, *captions.CAMERAS[language]]
        patterns += [relation for relations in words.relations.values() for relation in relations]
        patterns += [template for templates in words.templates.values() for template in templates]
        phrases = [phrase for values in words.phrases.values() for options in values.values() for phrase in options]
        known.update(word for phrase in phrases for part in (phrase.lead, phrase.tail) for word in pieces(part))
        known.update(word for pattern in patterns for word in pieces(re.sub(r"\{\w*\}", " ", pattern)))
    for pattern in (*painter_captions.wording(), *arcade_captions.wording()):
        known.update(pieces(re.sub(r"\{\w*\}", " ", pattern)))
    return frozenset(known | {"a", "an", "the", "camera", "painted", "that", "is", "一", "镜", "头", "的"})


def unknown_note(prompt: str) -> str:
    """What to tell the user about words and symbols that no caption ever used; empty when all are known."""
    words = pieces(prompt)
    symbols = [sign for sign in prompt if unicodedata.category(sign) in ("So", "Sk", "Sm", "Sc")]
    unknown = [word for word in dict.fromkeys([*words, *symbols]) if word not in known_words()]
    return f"words that the text encoder was never trained on: {', '.join(unknown)}" if unknown else ""
