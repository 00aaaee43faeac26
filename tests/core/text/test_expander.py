"""Expanded prompts keep the user's words, state the rest, and follow the seed."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch

from sora_core.data.worlds.attributes import ATTRIBUTES
from sora_core.text.expander import expand
from sora_core.text.recognise import recognise
from sora_core.text.tokenizer import Tokenizer, pieces

_PROMPTS = [
    "red ball",
    "a duck and an emerald cube",
    "sunset over Mars",
    "Something PINK bouncing!",
    "a car, camera orbits",
    "一个球",
    "火星上的雪人，镜头拉远",
    "夜晚的城市",
    "make a video",
    "",
]


def _expand(prompt: str, seed: int, language: str | None = None) -> str:
    return expand(prompt, torch.Generator().manual_seed(seed), language)


@pytest.mark.parametrize("prompt", _PROMPTS)
def test_no_word_of_the_user_is_lost(prompt):
    for seed in range(10):
        remaining = iter(pieces(_expand(prompt, seed)))
        articles = {"a", "an"}
        assert all(any(word == other or {word, other} <= articles for other in remaining) for word in pieces(prompt))


@pytest.mark.parametrize("prompt", _PROMPTS)
def test_what_the_user_named_stays_and_the_rest_is_filled(prompt):
    named = recognise(prompt)
    for seed in range(20):
        found = recognise(_expand(prompt, seed))
        assert named.items() <= found.items()
        assert {"subject", "colour", "environment", "time", "motion", "camera"} <= set(found), _expand(prompt, seed)


@pytest.mark.parametrize("prompt", _PROMPTS)
def test_the_seed_decides(prompt):
    assert _expand(prompt, 3) == _expand(prompt, 3)
    assert len({_expand(prompt, seed) for seed in range(20)}) > 12


def test_draws_cover_every_value():
    seen = {name: set() for name in ("subject", "colour", "environment", "time", "motion", "camera")}
    for seed in range(150):
        found = recognise(_expand("", seed))
        for name, values in seen.items():
            values.add(found[name])
    assert all(values == set(ATTRIBUTES[name]) for name, values in seen.items())


def test_a_thing_the_lexicon_does_not_know_is_not_replaced():
    for seed in range(20):
        text = _expand("a sad elephant", seed)
        assert text.startswith("a sad elephant. ")
        assert "subject" not in recognise(text)


@pytest.mark.parametrize(
    "prompt", ["a white duck", "a black car", "a house painted brown", "一只白色的鸭子", "黑色的小汽车", "球是灰的"]
)
def test_a_thing_of_another_colour_is_given_none_beside_it(prompt):
    for seed in range(5):
        assert _expand(prompt, seed).startswith((f"{prompt}. ", f"{prompt}。"))


def test_the_other_colour_of_one_thing_leaves_the_next_to_be_coloured():
    for seed in range(5):
        assert recognise(_expand("a white duck beside a ball", seed))["second_colour"] in ATTRIBUTES["colour"]
        assert recognise(_expand("under a black sky a ball", seed))["colour"] in ATTRIBUTES["colour"]


def test_a_complete_prompt_is_only_closed():
    prompt = "a green rocket rising at night on mars, static shot"
    texts = {_expand(prompt, seed) for seed in range(20)}
    assert prompt + "." in texts
    assert all(text.startswith(prompt + ".") for text in texts)


def test_the_side_of_a_second_thing_is_said_once():
    for seed in range(10):
        assert re.search(r"\. The cube is on its (left|right)\.", _expand("a ball next to a cube moves left", seed))
        assert re.search(r"。方块在它[左右]边。", _expand("一个红球挨着一个方块", seed))
        assert _expand("a ball, a cube. The cube is on its left.", seed).count("cube is on") == 1
        for told in ("a ball with a cube on its left", "球的左边有一个方块", "a ball"):
            assert "cube is on" not in _expand(told, seed)
            assert "方块在它" not in _expand(told, seed)


def test_articles_suit_the_inserted_colour():
    for seed in range(40):
        first = _expand("a ball and an auto", seed).split()
        for article, word in pairwise(first):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou"), first


def test_the_language_of_the_additions_can_be_chosen():
    text = _expand("red ball", 0, "zh")
    assert text.startswith("red ball。")
    assert "镜头" in text
    with pytest.raises(ValueError, match="language is 'fr'"):
        _expand("red ball", 0, "fr")


def test_expanded_prompts_fit_the_tokenizer():
    tokenizer = Tokenizer()
    assert all(not tokenizer.overflow(_expand(prompt, seed)) for prompt in _PROMPTS for seed in range(20))


@pytest.mark.parametrize(
    "prompt",
    ["a red ball by itself", "a duck alone in the sea", "一个孤零零的球", "a duck alone on the left", "球独自在左边"],
)
def test_a_thing_that_is_alone_stays_alone(prompt):
    for seed in range(5):
        found = expand(prompt, torch.Generator().manual_seed(seed))
        assert set(pieces(prompt)) <= set(pieces(found)) | {"a"}
        assert recognise(found).get("second_subject", "none") == "none"
        assert not re.search("itself is|alone is|孤零零在它|独自在它", found)


@pytest.mark.parametrize(
    ("prompt", "attribute", "value"),
    [
        ("a red ball, not at night", "time", "night"),
        ("一个红色的球，不要在沙漠里", "environment", "desert"),
        ("a blue ball and a cube that is not red", "second_colour", "red"),
        ("a red ball, not alone", "second_subject", "none"),
    ],
)
def test_what_the_user_refuses_is_not_drawn(prompt, attribute, value):
    found = {recognise(_expand(prompt, seed))[attribute] for seed in range(30)}
    assert len(found) > 1
    assert value not in found
