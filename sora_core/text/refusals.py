"""What a prompt names only to leave it out: "without a wall", "not a red ball but ...", "不要墙"."""

from __future__ import annotations

from .phrases import Mention, Word
from .subjects import binds

_OF_THINGS = frozenset({"no", "without", "minus", "lacking"})
"""Negations of things, never of what they do."""
_SHORTENED = frozenset({"don", "doesn", "didn", "isn", "aren", "wasn", "won", "can", "shouldn", "mustn"})
_NEGATIONS = (
    _OF_THINGS | {"not", "never", "neither", "nor", "cannot", "没", "无", "不", "别", "勿"}
    | {f"{word}t" for word in _SHORTENED}
)  # fmt: skip
"""With "dont" and the like, as many write them."""
_BEFORE_BIE = frozenset("请也就可但都万你")
_LIGHT = """
a an any the in on at by of to from with behind under during in front be being is have has show put add include use want
need see pass passes passing go goes going move moves let make hidden blocked covered it there
little small big tiny large huge single visible
有 要 用 需 想 许 准 能 会 在 被 带 加 含 是 放 让 出 现 看 到 见 任 何 一 个 堵 面 块 道 扇 条 只 辆 座 枚 朵 艘 颗
间 栋 架 前 后 方 做 往 向 从 那 这 些
"""
_BETWEEN = frozenset(_LIGHT.split())
"""Words that may stand between a negation and what it refuses: any other one is what it speaks of instead."""
_LETS = frozenset({"the", "let", "make", "让"})
_ALSO = frozenset({"or", "nor", "或", "和", "、"})


def _negates(words: list[Word], i: int) -> bool:
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


def refused_in(words: list[Word], mentions: list[Mention]) -> set[Mention]:
    """The mentions that are named only to be left out."""
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
        if words[i].text not in _OF_THINGS and _LETS & {word.text for word in words[i + 1 : place]}:
            # "do not let the ball bounce" is about the ball, and refuses what it does
            while number < len(mentions) and mentions[number].attribute in ("colour", "subject"):
                number += 1
            if number == len(mentions) or any(word.separates for word in words[i : mentions[number].first_word]):
                continue
        refused.update(_together(words, mentions[number:], i))
    return refused


def _together(words: list[Word], mentions: list[Mention], negation: int) -> list[Mention]:
    """The first of some mentions, and those that the negation before it refuses as well."""
    before = [word.text for word in words[max(0, negation - 2) : negation]]
    describes = bool(before) and (before[-1] in {"a", "an", "the"} or "一" in before)
    found = mentions[:1]
    for mention in mentions[1:]:
        last = found[-1]
        between = [word.text for word in words[last.last_word + 1 : mention.first_word]]
        kinds = (last.attribute, mention.attribute)
        its_thing = kinds == ("colour", "subject") and not describes and binds(words, last, mention)
        # "no red ball or blue cube" goes on with the colour of another thing.
        alike = kinds[0] == kinds[1] or kinds == ("subject", "colour")
        listed = alike and bool(between) and between[0] in _ALSO and _BETWEEN.issuperset(between[1:])
        if not its_thing and not listed:
            break
        found.append(mention)
    return found
