"""Which subjects a prompt names, with the colours that are theirs, and where the second stands."""

from __future__ import annotations

from functools import cache

from ..data.worlds import lexicon
from ..data.worlds.attributes import SIDES
from .phrases import Mention, Word
from .tokenizer import pieces

_COPULAS = frozenset({"is", "are", "was", "looks", "coloured", "colored", "painted", "是", "为", "呈"})
_DETERMINERS = frozenset({"a", "an", "the", "its", "one", *"一个只辆座枚朵艘颗间栋架的"})
_FAR = 16
"""Words on either side of a thing that can tell where it stands, separators among them: more than any phrase has."""
_REACH = 3
"""Words that may stand between a subject and its colour."""


def binds(words: list[Word], colour: Mention, subject: Mention) -> bool:
    """Whether a colour belongs to a subject: just before it ("red rubber ball"), or after "is"."""
    between = words[colour.last_word + 1 : subject.first_word]
    if colour.first_word < subject.first_word:
        apart = any(word.separates or word.text in {"and", "和", "与"} for word in between)
        return len(between) <= _REACH and not apart
    between = words[subject.last_word + 1 : colour.first_word]
    return len(between) <= _REACH and any(word.text in _COPULAS for word in between)


def _loose(words: list[Word], colour: Mention, starts: set[int]) -> bool:
    """Whether a colour stands by itself, so that it does not describe a thing that has no name here ("blue carpet").

    `starts` are the words that a phrase begins with.
    """
    following = colour.last_word + 1
    return following >= len(words) or words[following].separates or following in starts


def _is_new(words: list[Word], mention: Mention) -> bool:
    """Whether an article says that a thing is new: "a red ball" after "a red ball" is a second one."""
    before = [word.text for word in words[max(0, mention.first_word - 2) : mention.first_word]]
    return bool(before) and (before[-1] in {"a", "an", "another"} or "一" in before)


def bind_subjects(words: list[Word], mentions: list[Mention]) -> dict[str, Mention]:
    """The first subject and a second, different one, each with the colour that is bound to it."""
    colours = [mention for mention in mentions if mention.attribute == "colour"]
    subjects = [mention for mention in mentions if mention.attribute == "subject"]
    starts = {colour.first_word: colour for colour in colours}
    ends = {colour.last_word: colour for colour in colours}
    owner: dict[Mention, Mention] = {}
    bound: set[Mention] = set()
    for before in (True, False):
        for subject in subjects:
            # From right to left, and no farther than any colour binds: prompts can be of thousands of words.
            last = subject.first_word - 1 if before else subject.last_word + 1 + _REACH
            at = ends if before else starts
            near = [at[i] for i in range(last, last - _REACH - 1, -1) if i in at]
            free = (colour for colour in near if colour not in bound and binds(words, colour, subject))
            if subject not in owner and (nearest := next(free, None)):
                owner[subject] = nearest
                bound.add(nearest)
    chosen: dict[str, Mention] = {}
    for subject in subjects:
        colour = owner.get(subject)
        if "subject" not in chosen:
            chosen["subject"] = subject
            if colour:
                chosen["colour"] = colour
            continue
        known = chosen.get("colour")
        other_colour = colour is not None and known is not None and colour.value != known.value
        if subject.value != chosen["subject"].value or other_colour or _is_new(words, colour or subject):
            chosen["second_subject"] = subject
            if colour:
                chosen["second_colour"] = colour
            break
        if colour and not known:
            chosen["colour"] = colour
    begun = {mention.first_word for mention in mentions}
    loose = [c for c in colours if c not in bound and _loose(words, c, begun)]
    if "colour" not in chosen and loose:
        chosen["colour"] = loose[0]
    return chosen


@cache
def _before_nouns() -> frozenset[str]:
    """Words that may stand between what tells a side and the thing or its colour."""
    adjectives = (word for language in lexicon.LANGUAGES for word in lexicon.load(language).adjectives)
    return _DETERMINERS.union(*(pieces(adjective) for adjective in adjectives))


@cache
def _sides() -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """What the lexicon says before and after a second subject to tell its side, the longest first."""
    found = []
    for language in lexicon.LANGUAGES:
        words = lexicon.load(language)
        for side in SIDES[1:]:
            for pattern in (*words.relations[side], words.stands[side].removeprefix("the ")):
                before, after = (tuple(pieces(part.strip(" ,"))) for part in pattern.split("{}"))
                found.append((before, after, side))
    return sorted(found, key=lambda row: -len(row[0]) - len(row[1]))


def _side_at(words: list[Word], first: int, last: int) -> str:
    """The side that the words of `_sides` tell right before and after a thing, which is the words `first` to `last`."""
    while first and words[first - 1].text in _before_nouns():
        first -= 1
    before = [word.text for word in words[max(0, first - _FAR) : first] if not word.separates]
    after = [word.text for word in words[last + 1 : last + 1 + _FAR] if not word.separates]
    for lead, tail, side in _sides():
        if before[len(before) - len(lead) :] == list(lead) and after[: len(tail)] == list(tail):
            return side
    return "none"


def side_of(words: list[Word], mentions: list[Mention], chosen: dict[str, Mention]) -> str:
    """On which side the second subject stands, told where it is named or named again ("The cube is on its left")."""
    second, colour = chosen.get("second_subject"), chosen.get("second_colour")
    if second is None or second.value == "none":
        return "none"
    named = [second] if colour is None else [second, colour]
    places = [(min(m.first_word for m in named), max(m.last_word for m in named))]
    places += [
        (mention.first_word, mention.last_word)
        for mention in mentions
        if mention.first_word > second.last_word and (mention.attribute, mention.value) == ("subject", second.value)
    ]
    told = (_side_at(words, *place) for place in places)
    return next((side for side in told if side != "none"), "none")
