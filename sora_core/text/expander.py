"""Short prompts made long: what the user left open is drawn from the lexicon and told after the user's own words."""

from __future__ import annotations

import re
from collections.abc import Collection

import torch

from sora_core.data.worlds import lexicon
from sora_core.data.worlds.attributes import ATTRIBUTES, SIDES, Attributes
from sora_core.data.worlds.captions import Draw, Words
from sora_core.text.phrases import Mention, split_words
from sora_core.text.recognise import Reading, read
from sora_core.text.subjects import binds

_CHINESE = re.compile(r"[\u3400-\u9fff]")
_SENTENCE_END = re.compile(r"[.!?。！？…]$")
_COMPANION = 0.25
"""How often a prompt without a second subject is given one."""

_BESIDE = {
    ("en", "left"): ("To its left there is {second}", "{second} is on its left"),
    ("en", "right"): ("To its right there is {second}", "{second} is on its right"),
    ("zh", "left"): ("它的左边有{second}", "{second}在它左边"),
    ("zh", "right"): ("它的右边有{second}", "{second}在它右边"),
}

_VAGUE = """
a an the some one this that it its of in on at with and to for is are by from as i me we you my make show create please
generate want would like something anything thing object scene video clip movie film short nice cool beautiful pretty
very really simple animation cinematic realistic next over under into near there be camera shot
一 个 的 了 在 是 有 着 里 上 下 中 我 想 要 请 生 成 视 频 段 只 辆 座 枚 朵 艘
镜 头 画 面 和 与 它 东 西 短 片 做 给 来 这 那
"""
"""Words that do not name a thing of their own, so that a subject may be drawn beside them."""

_OTHER_COLOURS = """
black white grey gray brown silver beige bronze copper rainbow colourful colorful multicoloured multicolored
黑 白 灰 棕 褐 银 彩
"""
"""What things can be coloured though no clip is: a thing that a prompt calls so is given no colour beside it."""


def completed(known: dict[str, str], draw: Draw, refused: Collection[tuple[str, str]] = frozenset()) -> Attributes:
    """What a prompt names (`recognise`) completed at random: never with a wall, now and then with a second subject.

    The side of a second subject is drawn for one that is drawn itself.
    Nothing that is `refused` (`Reading.refused`) is drawn. What is known is drawn all the same and put aside, so that
    one more word of a prompt changes little else.
    """
    chosen = dict(known)
    for name, values in ATTRIBUTES.items():
        if name.startswith("second_") or name == "occluder":
            continue
        start = values.index(draw.choice(values))
        left = [value for value in (*values[start:], *values[:start]) if (name, value) not in refused]
        chosen.setdefault(name, (left or values)[0])
    others = [value for value in ATTRIBUTES["second_subject"] if value not in ("none", chosen["subject"])]
    others = [value for value in others if ("subject", value) not in refused] or others
    colours = [value for value in ATTRIBUTES["second_colour"] if value not in ("none", chosen["colour"])]
    colours = [value for value in colours if ("colour", value) not in refused] or colours
    companion, colour, side = draw.choice(others), draw.choice(colours), draw.choice(SIDES[1:])
    if chosen.get("second_subject", "none") != "none":
        chosen.setdefault("second_colour", colour)
    elif "second_subject" not in chosen and (draw.chance(_COMPANION) or ("second_subject", "none") in refused):
        chosen |= {"second_subject": companion, "second_colour": colour, "second_side": side}
    return Attributes(**chosen)


def _side_of_named(reading: Reading, draw: Draw) -> str:
    """A sentence on which side the second subject of a prompt stands, in its own words; nothing if the prompt says it.

    A model that is left the choice may take both.
    """
    second, side = reading.mentions.get("second_subject"), draw.choice(SIDES[1:])
    if second is None or second.value == "none" or reading.second_side != "none":
        return ""
    noun = reading.text[second.start : second.end]
    sentence = lexicon.load("zh" if _CHINESE.match(noun) else "en").stands[side].format(noun)
    return sentence[:1].upper() + sentence[1:]


def _coloured_otherwise(reading: Reading, name: str) -> bool:
    """Whether the prompt gives a subject one of `_OTHER_COLOURS`."""
    subject = reading.mentions[name]
    phrases = {i for m in reading.mentions.values() for i in range(m.first_word, m.last_word + 1)}
    things = {reading.mentions[key].first_word for key in ("subject", "second_subject") if key in reading.mentions}
    words = split_words(reading.text)
    for i, word in enumerate(words):
        if word.text in _OTHER_COLOURS.split() and i not in phrases:
            colour = Mention("colour", word.text, word.start, word.end, i, i, weak=False)
            nearer = any(i < thing < subject.first_word or subject.first_word < thing < i for thing in things)
            if not nearer and binds(words, colour, subject):
                return True
    return False


def _with_colours(reading: Reading, attributes: Attributes, draw: Draw) -> str:
    """The user's text with the drawn colours set before subjects that have none."""
    text = reading.text
    pairs = {"subject": "colour", "second_subject": "second_colour"}
    bare = [
        name
        for name, colour in pairs.items()
        if name in reading.mentions
        and colour not in reading.mentions
        and getattr(attributes, name) != "none"
        and not _coloured_otherwise(reading, name)
    ]
    for name in sorted(bare, key=lambda name: -reading.mentions[name].start):
        start = reading.mentions[name].start
        chinese = _CHINESE.match(text[start]) is not None
        colours = lexicon.load("zh" if chinese else "en").phrases["colour"][getattr(attributes, pairs[name])]
        colour = draw.phrase(colours).text
        if chinese:
            text = text[:start] + colour + ("的" if len(colour) > 1 else "") + text[start:]
        else:
            text = f"{_article_for(colour, text[:start])}{colour} {text[start:]}"
    return text


def _article_for(word: str, before: str) -> str:
    """`before` with the article at its end, which was right for the noun, made right for `word`."""
    needs_an = word[0].lower() in "aeiou"
    return re.sub(r"\b([Aa])n? $", r"\1n " if needs_an else r"\1 ", before)


def _opening(missing: set[str], language: str, draw: Draw) -> str:
    """The pattern of the sentence on subject, motion, place and time, as far as they are missing."""
    does = "{does}" if "motion" in missing else ""
    where = "{where}" if "environment" in missing else ""
    when = "{when}" if "time" in missing else ""
    named = "subject" not in missing
    if language == "zh":
        if not does and named:
            return f"场景{where}，{when}" if where else when
        who = "它" if named else "{thing}" if does else "有{thing}"
        place = f"{who}{where}{does}" if does else f"{where}{who}"
        return draw.choice([f"{when}，{place}", f"{place}，{when}"])
    if not does and named:
        return f"The scene is set {where} {when}" if where or when else ""
    who = "It {does}" if named else "{thing} {does}" if does else "This video shows {thing}"
    if not does:
        return f"{who} {where} {when}"
    return draw.choice([f"{who} {where} {when}", f"{when}, {who} {where}", f"{where}, {who} {when}"])


def _sentences(words: Words, missing: set[str], language: str, draw: Draw, companion: str) -> list[str]:
    """What the prompt did not say, in sentences like those of descriptive captions; `companion` is one of `SIDES`."""
    patterns = [
        _opening(missing, language, draw),
        draw.choice(_BESIDE[language, companion]) if companion != "none" else "",
        "{camera}" if "camera" in missing else "",
    ]
    filled = [words.fill(pattern)[0] for pattern in patterns if pattern]
    # "It" stands inside a sentence when a place or a time opens it.
    return [sentence[:1].upper() + sentence[1:].replace(", It ", ", it ") for sentence in filled if sentence]


def expand(prompt: str, generator: torch.Generator, language: str | None = None) -> str:
    """A long prompt from a short one: the user's text comes first, then what it left open, drawn at random.

    No word of the prompt is lost. Subjects without a colour get one; place, time, motion and camera follow in further
    sentences. A subject is drawn only if the prompt names no thing at all: beside a thing the lexicon does not know
    ("a sad elephant"), nothing else takes its place. Needs no network.

    Args:
        prompt: what the user wrote, in any language.
        generator: decides every draw, so that the same state gives the same text.
        language: "en" or "zh" for the added sentences; without it, Chinese if the prompt has Chinese characters.

    Raises:
        ValueError: the language is neither "en" nor "zh".
    """
    if language is None:
        language = "zh" if _CHINESE.search(prompt) else "en"
    known, draw = read(prompt), Draw(generator)
    attributes = completed(known.attributes, draw, known.refused)
    missing = set(ATTRIBUTES) - set(known.mentions)
    if "subject" in missing and not set(_VAGUE.split()).issuperset(known.other_words):
        missing -= {"subject", "colour", "second_subject", "second_colour"}
    companion = attributes.second_side if "second_subject" in missing else "none"
    text = _with_colours(known, attributes, draw)
    words = Words(attributes, draw, lexicon.load(language))
    added = [*_sentences(words, missing, language, draw, companion), _side_of_named(known, draw)]
    added = [sentence for sentence in added if sentence]
    if text and not _SENTENCE_END.search(text):
        text = text.rstrip(",;:，；：、") + ("。" if language == "zh" else ".")
    if language == "zh":
        return text + "".join(f"{sentence}。" for sentence in added)
    return " ".join([text, *(f"{sentence}." for sentence in added)]).strip()
