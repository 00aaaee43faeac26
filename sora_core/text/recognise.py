"""Which attributes of a clip a prompt names, found by the longest phrases of the lexicon in either language."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.worlds.attributes import ATTRIBUTES
from .phrases import IGNORED, Mention, all_mentions, split_words
from .refusals import refused_in
from .subjects import bind_subjects, side_of


@dataclass(frozen=True)
class Reading:
    """A prompt as it was understood.

    `text` is the prompt without the space around it, `mentions` are the phrases that count, by attribute,
    `other_words` are the words that belong to no phrase, `refused` are the (attribute, value) that are not to be, and
    `second_side` is where the second subject stands, of `SIDES`.
    """

    text: str
    mentions: dict[str, Mention]
    other_words: tuple[str, ...]
    refused: frozenset[tuple[str, str]] = frozenset()
    second_side: str = "none"

    @property
    def attributes(self) -> dict[str, str]:
        found = {name: mention.value for name, mention in self.mentions.items()}
        return found if self.second_side == "none" else {**found, "second_side": self.second_side}


def read(prompt: str) -> Reading:
    """The prompt with the phrases that name attributes of a clip.

    What "no", "not" and the like refuse is not named; of several motions, cameras, times or places the longest phrase
    that is not a mere hint counts, and among equals the first.
    """
    text = prompt.strip()
    words = split_words(text)
    found = all_mentions(words)
    refused = refused_in(words, found)
    mentions = [mention for mention in found if mention not in refused]
    chosen = bind_subjects(words, mentions)
    ranked = sorted(mentions, key=lambda m: (m.weak, m.first_word - m.last_word, m.first_word))
    for mention in ranked:
        if mention.attribute not in ("subject", "colour", IGNORED):
            chosen.setdefault(mention.attribute, mention)
    taken = {i for mention in found for i in range(mention.first_word, mention.last_word + 1)}
    rest = tuple(word.text for i, word in enumerate(words) if i not in taken and not word.separates)
    # "No red ball" has nothing against other things that are red.
    things = {mention.last_word for mention in refused if mention.attribute == "subject"}
    values = {
        (mention.attribute, mention.value)
        for mention in refused
        if mention.attribute != "colour" or not any(0 < thing - mention.last_word <= 4 for thing in things)
    }
    named = {name: chosen[name] for name in ATTRIBUTES if name in chosen}
    return Reading(text, named, rest, frozenset(values), side_of(words, mentions, chosen))


def recognise(prompt: str) -> dict[str, str]:
    """The attributes a prompt names and their values; colours go with the subject they describe.

    `recognise("a red ball next to a blue cube")` gives subject, colour, second_subject and second_colour.
    """
    return read(prompt).attributes
