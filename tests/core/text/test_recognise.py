"""Prompts are understood: attributes, bound colours, what the camera does and what the subject does."""

from __future__ import annotations

import pytest
import torch

from sora_core.data.worlds import lexicon
from sora_core.data.worlds.attributes import ATTRIBUTES, Attributes
from sora_core.data.worlds.captions import STYLES, compose
from sora_core.text.phrases import Mention
from sora_core.text.recognise import read, recognise

_CUBE = {"second_subject": "cube", "second_colour": "blue"}
_EXAMPLES = [
    (
        "a red ball next to a blue cube",
        {"subject": "ball", "colour": "red", **_CUBE},
    ),
    (
        "a red ball to the left of a blue cube",
        {"subject": "ball", "colour": "red", **_CUBE, "second_side": "right"},
    ),
    (
        "a car drives to the right with a duck standing on its left",
        {"subject": "car", "motion": "right", "second_subject": "duck", "second_side": "left"},
    ),
    ("球的左边有一个小小的方块", {"subject": "ball", "second_subject": "cube", "second_side": "left"}),
    ("球在方块左边", {"subject": "ball", "second_subject": "cube", "second_side": "right"}),
    (
        "a ball with a cube painted blue. The cube is on its left.",
        {"subject": "ball", **_CUBE, "second_side": "left"},
    ),
    ("a ball with a cube painted blue on its left", {"subject": "ball", **_CUBE, "second_side": "left"}),
    ("a ball alone on the left", {"subject": "ball", "second_subject": "none"}),
    ("一个球独自在左边", {"subject": "ball", "second_subject": "none"}),
    ("a ball beside a cube moves left", {"subject": "ball", "second_subject": "cube", "motion": "left"}),
    ("红球和蓝方块", {"subject": "ball", "colour": "red", **_CUBE}),
    ("A CRIMSON SPHERE HOPS", {"subject": "ball", "colour": "red", "motion": "bounce"}),
    ("the ball is red and spins", {"subject": "ball", "colour": "red", "motion": "spin"}),
    ("a red ball. The ball bounces", {"subject": "ball", "colour": "red", "motion": "bounce"}),
    ("a ball beside a red ball", {"subject": "ball", "second_subject": "ball", "second_colour": "red"}),
    ("a ball on a blue carpet", {"subject": "ball"}),
    (
        "the camera moves to the left while a duck stays still",
        {"camera": "pan_left", "subject": "duck", "motion": "still"},
    ),
    ("the camera follows a bouncing red ball", {"subject": "ball", "colour": "red", "motion": "bounce"}),
    ("镜头跟着一只鸭子跳跃", {"subject": "duck", "motion": "bounce"}),
    ("a duck moves to the left, the camera holds still", {"camera": "static", "subject": "duck", "motion": "left"}),
    ("a static shot of a car moving right", {"camera": "static", "subject": "car", "motion": "right"}),
    ("一只鸭子静止不动，镜头向左移动", {"subject": "duck", "motion": "still", "camera": "pan_left"}),
    ("夕阳下的火星，镜头拉远", {"time": "sunset", "environment": "mars", "camera": "pull_out"}),
    ("a snowman on the red planet", {"subject": "snowman", "environment": "mars"}),
    ("a cone under a clear blue sky", {"subject": "cone", "time": "day"}),
    ("no wall, a donut behind nothing", {"subject": "donut"}),
    ("ice cream for everyone", {}),
    ("", {}),
]


@pytest.mark.parametrize(("prompt", "expected"), _EXAMPLES, ids=[prompt for prompt, _ in _EXAMPLES])
def test_prompts_are_understood(prompt, expected):
    assert recognise(prompt) == expected


BALL = {"subject": "ball", "colour": "red"}
CUBE = {"subject": "cube", "colour": "blue"}
_REFUSALS = [
    ("a red ball without a wall", BALL, {("occluder", "wall")}),
    ("a red ball, minus the wall", BALL, {("occluder", "wall")}),
    ("a red ball lacking any wall", BALL, {("occluder", "wall")}),
    ("a red ball that isn't behind a brick wall", BALL, {("occluder", "wall")}),
    ("a red ball, don't put a fence or a wall in front", BALL, {("occluder", "wall")}),
    ("a red ball, dont put a wall in front", BALL, {("occluder", "wall")}),
    ("a red ball, never passes behind a wall", BALL, {("occluder", "wall")}),
    ("一个红色的球，不要墙", BALL, {("occluder", "wall")}),
    ("一个红色的球，别让墙挡住它", BALL, {("occluder", "wall")}),
    ("一个红色的球，前面没有一堵墙", BALL, {("occluder", "wall")}),
    ("一个红色的球，没有被墙挡住", BALL, {("occluder", "wall")}),
    ("a red ball without a blue cube", BALL, {("subject", "cube")}),
    ("a red ball without a big cube", BALL, {("subject", "cube")}),
    ("a red ball, no visible wall", BALL, {("occluder", "wall")}),
    ("a red ball without a blue cube or a green cone", BALL, {("subject", "cube"), ("subject", "cone")}),
    ("a duck, no red or blue balls", {"subject": "duck"}, {("subject", "ball")}),
    ("一只鸭子，不要红球和蓝方块", {"subject": "duck"}, {("subject", "ball"), ("subject", "cube")}),
    ("a ball that is neither red nor blue", {"subject": "ball"}, {("colour", "red"), ("colour", "blue")}),
    ("not a red ball but a blue cube", CUBE, {("subject", "ball")}),
    ("不要红色的球，要蓝色的立方体", CUBE, {("subject", "ball")}),
    ("a ball that is not red but blue", {"subject": "ball", "colour": "blue"}, {("colour", "red")}),
    ("一个不是红色的球", {"subject": "ball"}, {("colour", "red")}),
    ("a red ball that doesn't bounce, not at night", BALL, {("motion", "bounce"), ("time", "night")}),
    ("don't let the red ball bounce", BALL, {("motion", "bounce")}),
    ("一个红色的球，别让球跳", BALL, {("motion", "bounce")}),
    ("一个红色的球，镜头不要推近，不在沙漠里", BALL, {("camera", "push_in"), ("environment", "desert")}),
    ("no text, a red ball", BALL, set()),
    ("believe it or not a red ball", BALL, set()),
    ("without sound a red ball", BALL, set()),
    ("能不能做一个红色的球", BALL, set()),
    ("有没有一个红色的球", BALL, set()),
    ("特别红的球", BALL, set()),
    ("不过有一个红色的球", BALL, set()),
    ("不只有一个红色的球", BALL, set()),
    ("一个红色的球不停地绕圈", BALL | {"motion": "circle"}, set()),
    ("a red ball does not move", BALL | {"motion": "still"}, set()),
]


@pytest.mark.parametrize(("prompt", "named", "refused"), _REFUSALS, ids=[prompt for prompt, *_ in _REFUSALS])
def test_what_a_prompt_refuses_is_not_named(prompt, named, refused):
    found = read(prompt)
    assert (found.attributes, found.refused) == (named, refused)


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
@pytest.mark.parametrize("style", STYLES)
def test_captions_are_read_back(language, style):
    generator = torch.Generator().manual_seed(0)
    right = total = 0
    for i in range(120):

        def pick(name: str, i: int = i) -> str:
            values = [value for value in ATTRIBUTES[name] if value != "none"]
            return values[int(torch.randint(len(values), (), generator=generator))]

        clip = Attributes(**{name: pick(name) for name in ATTRIBUTES})
        written = compose(clip, generator, language, style)
        found = recognise(written.text)
        assert set(found) <= written.mentioned, written.text
        right += sum(found.get(name) == getattr(clip, name) for name in written.mentioned)
        total += len(written.mentioned)
    assert right / total > 0.995


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
@pytest.mark.parametrize("attribute", ["subject", "colour", "environment", "time", "motion"])
def test_every_phrase_of_the_lexicon_is_recognised_alone(language, attribute):
    for value, phrases in lexicon.load(language).phrases[attribute].items():
        for phrase in phrases:
            assert recognise(phrase.text).get(attribute) == value, phrase.text


def test_mentions_point_into_the_users_text():
    prompt = "  Ａ ＲＥＤ ball，hopping over the sea "
    reading = read(prompt)
    spans = {name: reading.text[mention.start : mention.end] for name, mention in reading.mentions.items()}
    assert reading.text == prompt.strip()
    assert spans == {"subject": "ball", "colour": "ＲＥＤ", "environment": "sea", "motion": "hopping"}
    assert reading.other_words == ("a", "over", "the")


def test_reading_does_not_compare_every_colour_with_every_other(monkeypatch):
    compared, equal = [], Mention.__eq__
    monkeypatch.setattr(Mention, "__eq__", lambda a, b: compared.append(1) or equal(a, b))
    things = 60
    found = read("a red ball, " * things)
    assert (found.attributes["subject"], found.attributes["second_colour"]) == ("ball", "red")
    assert len(compared) < things
