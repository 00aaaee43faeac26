"""Which attributes of a clip a prompt names, found by the longest phrases of the lexicon in either language."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from sora_core.data.worlds import arcade_captions, lexicon, painter_captions
from sora_core.data.worlds.attributes import ATTRIBUTES, SIDES
from sora_core.text.tokenizer import pieces

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff_]+|[,.;:!?，。；：！？、\n]")
_CAMERA = frozenset({"camera", "cameras", "shot", "view", "lens", "镜头", "机位", "相机", "影机", "像机", "运镜"})
_CLAUSE_END = frozenset({"as", "while", "of", "that", "where", "showing"})
_COPULAS = frozenset({"is", "are", "was", "looks", "coloured", "colored", "painted", "是", "为", "呈"})
_NEGATIONS = frozenset({"no", "not", "without", "never", "neither", "nor", "cannot", "没", "无", "不", "别", "勿"})
_SHORTENED = frozenset({"don", "doesn", "didn", "isn", "aren", "wasn", "won", "can", "shouldn", "mustn"})
_BEFORE_BIE = frozenset("请也就可但都万你")
_LIGHT = """
a an any the in on at by of to from with behind under during in front be being is have has show put add include use want
need see pass passes passing go goes going move moves let make hidden blocked covered it there
有 要 用 需 想 许 准 能 会 在 被 带 加 含 是 放 让 出 现 看 到 见 任 何 一 个 堵 面 块 道 扇 条 只 辆 座 枚 朵 艘 颗
间 栋 架 前 后 方 做 往 向 从 那 这 些
"""
_BETWEEN = frozenset(_LIGHT.split())
"""Words that may stand between a negation and what it refuses: any other one is what it speaks of instead."""
_LETS = frozenset({"the", "let", "make", "让"})
_ALSO = frozenset({"or", "nor", "或", "和", "、"})
_DETERMINERS = frozenset({"a", "an", "the", "its", "one", *"一个只辆座枚朵艘颗间栋架的"})
_IGNORED = "ignore"
_REACH = 3
"""Words that may stand between a subject and its colour."""


@dataclass(frozen=True)
class Mention:
    """A phrase of the prompt and what it names: `start` and `end` count characters of the prompt."""

    attribute: str
    value: str
    start: int
    end: int
    first_word: int
    last_word: int
    weak: bool


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


@dataclass(frozen=True)
class _Word:
    text: str
    start: int
    end: int

    @property
    def separates(self) -> bool:
        return not self.text[0].isalnum()


def _words(text: str) -> list[_Word]:
    """The words and separators of `text`; full-width and upper-case letters agree with plain ones, one for one."""
    letters = (unicodedata.normalize("NFKC", letter).lower() for letter in text)
    matched = "".join(new if len(new) == 1 else old for new, old in zip(letters, text, strict=True))
    return [_Word(match[0], match.start(), match.end()) for match in _WORD.finditer(matched)]


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
def _phrases() -> dict[tuple[str, ...], list[tuple[str, str, bool]]]:
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
            add(key, _IGNORED, key, weak=False)
    return table


@cache
def _longest() -> int:
    return max(len(key) for key in _phrases())


def _in_camera_clause(words: list[_Word]) -> list[bool]:
    """For every word, whether its clause has spoken of the camera before it."""
    flags, inside = [], False
    for i, word in enumerate(words):
        if word.separates or word.text in _CLAUSE_END:
            inside = False
        flags.append(inside)
        pair = word.text + (words[i + 1].text if i + 1 < len(words) else "")
        if word.text in _CAMERA or pair in _CAMERA:
            inside = True
    return flags


def _meaning(key: tuple[str, ...], camera_clause: bool) -> tuple[str, str, bool] | None:
    """What a phrase stands for here: verbs that both a camera and a subject can do go by the clause they are in."""
    meanings = {attribute: (value, weak) for attribute, value, weak in _phrases().get(key, ())}
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


def _all_mentions(words: list[_Word]) -> list[Mention]:
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


def _binds(words: list[_Word], colour: Mention, subject: Mention) -> bool:
    """Whether a colour belongs to a subject: just before it ("red rubber ball"), or after "is"."""
    between = words[colour.last_word + 1 : subject.first_word]
    if colour.first_word < subject.first_word:
        apart = any(word.separates or word.text in {"and", "和", "与"} for word in between)
        return len(between) <= _REACH and not apart
    between = words[subject.last_word + 1 : colour.first_word]
    return len(between) <= _REACH and any(word.text in _COPULAS for word in between)


def _loose(words: list[_Word], colour: Mention, starts: set[int]) -> bool:
    """Whether a colour stands by itself, so that it does not describe a thing that has no name here ("blue carpet").

    `starts` are the words that a phrase begins with.
    """
    following = colour.last_word + 1
    return following >= len(words) or words[following].separates or following in starts


def _is_new(words: list[_Word], mention: Mention) -> bool:
    """Whether an article says that a thing is new: "a red ball" after "a red ball" is a second one."""
    before = [word.text for word in words[max(0, mention.first_word - 2) : mention.first_word]]
    return bool(before) and (before[-1] in {"a", "an", "another"} or "一" in before)


def _bind_subjects(words: list[_Word], mentions: list[Mention]) -> dict[str, Mention]:
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
            free = (colour for colour in near if colour not in bound and _binds(words, colour, subject))
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


def _negates(words: list[_Word], i: int) -> bool:
    """Whether a word refuses what comes after it; "能不能", "有没有", "特别" and "believe it or not" do not."""
    text, before = words[i].text, words[i - 1] if i else None
    after = words[i + 1].text if i + 1 < len(words) else ""
    if text == "t":
        return before is not None and before.text in _SHORTENED
    if text not in _NEGATIONS or before is None or before.separates:
        return text in _NEGATIONS
    if text == "别":
        return before.text in _BEFORE_BIE
    return before.text != after if text in ("不", "没") else before.text not in ("or", "why", "if")


def _refused(words: list[_Word], mentions: list[Mention]) -> set[Mention]:
    """The mentions that are named only to be left out: "without a wall", "not a red ball but ...", "不要墙"."""
    starts = {mention.first_word: number for number, mention in enumerate(mentions)}
    inside = {i for mention in mentions for i in range(mention.first_word, mention.last_word + 1)}
    refused: set[Mention] = set()
    for i in range(len(words)):
        if i in inside or not _negates(words, i):
            continue
        place = i + 1
        while place not in starts and place < len(words) and words[place].text in _BETWEEN:
            if words[place].text == "只" and words[place - 1].text not in ("一", "何"):
                break
            place += 1
        if place not in starts:
            continue
        number = starts[place]
        if words[i].text not in ("no", "without") and _LETS & {word.text for word in words[i + 1 : place]}:
            # "do not let the ball bounce" is about the ball, and refuses what it does
            while number < len(mentions) and mentions[number].attribute in ("colour", "subject"):
                number += 1
            if number == len(mentions) or any(word.separates for word in words[i : mentions[number].first_word]):
                continue
        refused.update(_together(words, mentions[number:], i))
    return refused


def _together(words: list[_Word], mentions: list[Mention], negation: int) -> list[Mention]:
    """The first of some mentions, and those that the negation before it refuses as well."""
    first, *rest = mentions
    before = [word.text for word in words[max(0, negation - 2) : negation]]
    describes = bool(before) and (before[-1] in {"a", "an", "the"} or "一" in before)
    found = [first]
    if first.attribute == "colour" and rest and rest[0].attribute == "subject" and not describes:
        found += rest[:1] if first.last_word < rest[0].first_word and _binds(words, first, rest[0]) else []
    for mention in rest[len(found) - 1 :]:
        between = [word.text for word in words[found[-1].last_word + 1 : mention.first_word]]
        if mention.attribute != found[-1].attribute or not between or between[0] not in _ALSO:
            break
        if not _BETWEEN.issuperset(between[1:]):
            break
        found.append(mention)
    return found


def read(prompt: str) -> Reading:
    """The prompt with the phrases that name attributes of a clip.

    What "no", "not" and the like refuse is not named; of several motions, cameras, times or places the longest phrase
    that is not a mere hint counts, and among equals the first.
    """
    text = prompt.strip()
    words = _words(text)
    all_mentions = _all_mentions(words)
    refused = _refused(words, all_mentions)
    mentions = [mention for mention in all_mentions if mention not in refused]
    chosen = _bind_subjects(words, mentions)
    ranked = sorted(mentions, key=lambda m: (m.weak, m.first_word - m.last_word, m.first_word))
    for mention in ranked:
        if mention.attribute not in ("subject", "colour", _IGNORED):
            chosen.setdefault(mention.attribute, mention)
    taken = {i for mention in all_mentions for i in range(mention.first_word, mention.last_word + 1)}
    rest = tuple(word.text for i, word in enumerate(words) if i not in taken and not word.separates)
    # "No red ball" has nothing against other things that are red.
    things = {mention.last_word for mention in refused if mention.attribute == "subject"}
    values = {
        (mention.attribute, mention.value)
        for mention in refused
        if mention.attribute != "colour" or not any(0 < thing - mention.last_word <= 4 for thing in things)
    }
    named = {name: chosen[name] for name in ATTRIBUTES if name in chosen}
    return Reading(text, named, rest, frozenset(values), _side(words, chosen))


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
        for side in SIDES[1:]:
            for relation in lexicon.load(language).relations[side]:
                before, after = (tuple(pieces(part.strip(" ,"))) for part in relation.split("{}"))
                found.append((before, after, side))
    return sorted(found, key=lambda row: -len(row[0]) - len(row[1]))


def _side(words: list[_Word], chosen: dict[str, Mention]) -> str:
    """On which side the second subject stands, in the words of `_sides` right before and after it and its colour."""
    second, colour = chosen.get("second_subject"), chosen.get("second_colour")
    if second is None:
        return "none"
    first = second.first_word
    if colour is not None and colour.last_word < first:
        first = colour.first_word
    while first and words[first - 1].text in _before_nouns():
        first -= 1
    before = [word.text for word in words[:first] if not word.separates]
    after = [word.text for word in words[second.last_word + 1 :] if not word.separates]
    for lead, tail, side in _sides():
        if before[len(before) - len(lead) :] == list(lead) and after[: len(tail)] == list(tail):
            return side
    return "none"


def recognise(prompt: str) -> dict[str, str]:
    """The attributes a prompt names and their values; colours go with the subject they describe.

    `recognise("a red ball next to a blue cube")` gives subject, colour, second_subject and second_colour.
    """
    return read(prompt).attributes


@cache
def known_words() -> frozenset[str]:
    """Every word and character that captions can contain, for `Tokenizer.unknown_words`: the rest was never trained."""
    known = {word for key in _phrases() for word in key}
    for language in lexicon.LANGUAGES:
        words = lexicon.load(language)
        patterns = [*words.adjectives, *words.aspects, *words.requests, *words.fillers]
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
