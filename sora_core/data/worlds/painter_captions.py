"""Captions of the painter world, English and Chinese, short and descriptive."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .captions import Caption
from .painter import PainterAttributes
from .telling import colour_word, drawer, tell

_WORDS = {
    "en": {
        "line": ("straight line", "straight stroke", "long line"),
        "wave": ("wavy line", "wave", "curvy stroke"),
        "zigzag": ("zigzag", "zigzag line", "jagged line"),
        "circle": ("circle", "ring", "round loop"),
        "white": ("white paper", "a white canvas", "a white sheet"),
        "black": ("a blackboard", "black paper", "a black canvas"),
        "wood": ("a wooden board", "brown wood", "a plank of wood"),
        "cookie": ("cookie", "chocolate chip cookie", "biscuit"),
        "donut": ("frosted donut", "doughnut with sprinkles", "iced donut"),
        "pizza": ("pizza", "salami pizza", "round pizza"),
        "melon": ("slice of watermelon", "watermelon", "round melon slice"),
    },
    "zh": {
        "line": ("直线", "一条直线", "长线"),
        "wave": ("波浪线", "曲线", "波纹"),
        "zigzag": ("锯齿线", "折线", "之字形线条"),
        "circle": ("圆圈", "圆", "圆环"),
        "white": ("白纸", "白色画布", "白色的纸"),
        "black": ("黑板", "黑纸", "黑色画布"),
        "wood": ("木板", "棕色木板", "木头"),
        "cookie": ("饼干", "巧克力豆饼干", "曲奇"),
        "donut": ("糖霜甜甜圈", "甜甜圈", "撒糖粒的甜甜圈"),
        "pizza": ("披萨", "萨拉米披萨", "比萨饼"),
        "melon": ("西瓜", "西瓜片", "一片西瓜"),
    },
}
_TEMPLATES = {
    ("paint", "en", "short"): (
        "a brush paints a {colour} {stroke}", "painting a {colour} {stroke} on {surface}",
        "{colour} paint on {surface}", "a {colour} {stroke} is painted", "a paintbrush draws a {colour} {stroke}",
    ),
    ("paint", "en", "descriptive"): (
        "a brush paints a {colour} {stroke} on {surface}. The paint stays where it was put.",
        "seen from above, a paintbrush moves over {surface} and leaves a {colour} {stroke} behind that stays",
        "stroke by stroke a {colour} {stroke} grows on {surface} under a brush with a wooden handle",
        "someone paints on {surface}: the brush leaves a lasting {colour} {stroke}",
    ),
    ("paint", "zh", "short"): (
        "画笔画出{colour}{stroke}", "在{surface}上画{colour}{stroke}", "{surface}上的{colour}颜料",
        "用画笔画一笔{colour}{stroke}",
    ),
    ("paint", "zh", "descriptive"): (
        "一支画笔在{surface}上画出{colour}{stroke}，颜料一直留在原处",
        "俯视镜头下，画笔划过{surface}，留下{colour}{stroke}，笔迹不会消失",
        "木柄画笔在{surface}上慢慢画着，{colour}{stroke}越来越长",
    ),
    ("eat", "en", "short"): (
        "a {food} is being eaten", "bites are taken out of a {food}", "someone eats a {food}",
        "eating a {food} at a {colour} table", "a {food} on a {colour} table loses bite after bite",
    ),
    ("eat", "en", "descriptive"): (
        "a {food} lies on a white plate on a {colour} table. Bite after bite disappears and the bite marks stay.",
        "seen from above, someone eats a {food} from a white plate; the table is {colour} and each bite leaves a mark",
        "bites are taken out of a {food} on a white plate, one after the other, on a {colour} tablecloth",
    ),
    ("eat", "zh", "short"): (
        "有人在吃{food}", "{food}被一口一口吃掉", "{colour}桌子上的{food}被咬了几口", "{food}上留下咬痕",
    ),
    ("eat", "zh", "descriptive"): (
        "{colour}桌子上的白盘子里放着{food}，被一口一口咬掉，咬痕一直留着",
        "俯视镜头，{food}放在白盘子里，桌面是{colour}，每咬一口都会留下缺口",
    ),
}  # fmt: skip


def compose(
    attributes: PainterAttributes, generator: torch.Generator, language: str = "en", style: str = "short"
) -> Caption:
    """A caption, with a note of what it states. Raises ValueError for an unknown language or style."""
    draw = drawer(generator, language, style)
    words = _WORDS[language]
    templates = _TEMPLATES[attributes.activity, language, style]
    colour = colour_word(attributes.colour, draw, language)
    if language == "zh" and attributes.activity == "eat":
        # The colour of a table ends a clause in some patterns, where the particle would dangle.
        colour = colour.removesuffix("的")
    slots: dict[str, tuple[str, str | tuple[str, ...]]] = {"colour": ("colour", colour)}
    for name in ("stroke", "surface", "food"):
        value = getattr(attributes, name)
        if value != "none":
            slots[name] = (name, words[value])
    said = tell(templates, slots, draw, language)
    return Caption(said.text, said.mentioned | {"activity"})


def wording() -> Iterator[str]:
    """Every template and phrase of both languages, slots in braces: what captions of this world are made of."""
    for language in _WORDS.values():
        for words in language.values():
            yield from words
    for templates in _TEMPLATES.values():
        yield from templates
