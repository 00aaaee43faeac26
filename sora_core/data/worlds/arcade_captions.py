"""Captions of the arcade world: each begins by naming the game, which is what calls the game up."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .arcade import ArcadeAttributes
from .captions import Caption
from .telling import colour_word, drawer, tell

_BACKDROPS = {
    "en": {
        "dark": ("a dark background", "a black background", "the night sky"),
        "sky": ("a blue sky", "a bright sky", "a light blue background"),
        "dusk": ("a purple dusk", "a dusky sky", "a purple background"),
    },
    "zh": {
        "dark": ("深色背景", "黑色背景", "夜空"),
        "sky": ("蓝天", "明亮的天空", "浅蓝色背景"),
        "dusk": ("紫色黄昏", "暮色天空", "紫色背景"),
    },
}
_TEMPLATES = {
    ("bricks", "en", "short"): (
        "a game of bricks with a {colour} paddle", "a game of bricks", "a game of brick breaker, {colour} paddle",
        "a game of paddle and ball before {backdrop}", "a game of brick breaker with {backdrop}",
    ),
    ("bricks", "en", "descriptive"): (
        "a game of bricks: a {colour} paddle follows the ball, and bricks that it hits vanish. Behind is {backdrop}.",
        "a game of brick breaker before {backdrop}, where a {colour} paddle keeps a white ball in play under rows of"
        " coloured bricks",
        "a game of bricks. The white ball bounces between the walls, the bricks and the {colour} paddle; {backdrop}.",
    ),
    ("bricks", "zh", "short"): (
        "打砖块游戏，{colour}挡板", "一局打砖块游戏", "打砖块小游戏，背景是{backdrop}", "打砖块游戏，{colour}球拍接球",
    ),
    ("bricks", "zh", "descriptive"): (
        "打砖块游戏：{colour}挡板追着白球移动，被球击中的砖块会消失，背景是{backdrop}",
        "一局打砖块游戏，{backdrop}前，白球在墙壁、彩色砖块和{colour}挡板之间弹来弹去",
    ),
    ("runner", "en", "short"): (
        "a game of jump and run with a {colour} hero", "a game of jump and run", "a game of running and jumping,"
        " {colour} player", "a game of jump and run under {backdrop}", "a game of hopping over gaps with {backdrop}",
    ),
    ("runner", "en", "descriptive"): (
        "a game of jump and run: a {colour} hero runs to the right and jumps over gaps and pillars. Behind it is"
        " {backdrop}.",
        "a game of running and jumping before {backdrop}, in which a small {colour} figure leaps over every hole and"
        " every block while the land scrolls by",
        "a game of jump and run. The {colour} player clears gaps and pillars on green grass; {backdrop}.",
    ),
    ("runner", "zh", "short"): (
        "跑酷跳跃游戏，{colour}小人", "一局横版跑酷游戏", "横版跳跃游戏，背景是{backdrop}",
        "跑酷跳跃游戏，{colour}主角",
    ),
    ("runner", "zh", "descriptive"): (
        "横版跳跃游戏：{colour}小人一路向右跑，跳过缺口和柱子，背景是{backdrop}",
        "一局跑酷跳跃游戏，{backdrop}下，{colour}主角在绿色草地上越过每一个坑和每一根柱子",
    ),
}  # fmt: skip


def compose(
    attributes: ArcadeAttributes, generator: torch.Generator, language: str = "en", style: str = "short"
) -> Caption:
    """A caption, with a note of what it states. Raises ValueError for an unknown language or style."""
    draw = drawer(generator, language, style)
    slots = {
        "colour": ("colour", colour_word(attributes.colour, draw, language)),
        "backdrop": ("backdrop", _BACKDROPS[language][attributes.backdrop]),
    }
    said = tell(_TEMPLATES[attributes.game, language, style], slots, draw, language)
    return Caption(said.text, said.mentioned | {"game"})


def wording() -> Iterator[str]:
    """Every template and phrase of both languages, slots in braces: what captions of this world are made of."""
    for language in _BACKDROPS.values():
        for words in language.values():
            yield from words
    for templates in _TEMPLATES.values():
        yield from templates
