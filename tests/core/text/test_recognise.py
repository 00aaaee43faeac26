"""Prompts are understood: attributes, bound colours, what the camera does and what the subject does."""

from __future__ import annotations

import pytest
import torch

from sora_core.data.worlds import lexicon
from sora_core.data.worlds.attributes import ATTRIBUTES, Attributes
from sora_core.data.worlds.captions import STYLES, compose
from sora_core.text.recognise import known_words, read, recognise, unknown_note
from sora_core.text.tokenizer import Tokenizer

_EXAMPLES = [
    (
        "a red ball next to a blue cube",
        {"subject": "ball", "colour": "red", "second_subject": "cube", "second_colour": "blue"},
    ),
    ("红球和蓝方块", {"subject": "ball", "colour": "red", "second_subject": "cube", "second_colour": "blue"}),
    ("A CRIMSON SPHERE HOPS", {"subject": "ball", "colour": "red", "motion": "bounce"}),
    ("the ball is red and spins", {"subject": "ball", "colour": "red", "motion": "spin"}),
    ("a red ball. The ball bounces", {"subject": "ball", "colour": "red", "motion": "bounce"}),
    ("a ball beside a red ball", {"subject": "ball", "second_subject": "ball", "second_colour": "red"}),
    ("a ball on a blue carpet", {"subject": "ball"}),
    (
        "the camera moves to the left while a duck stays still",
        {"camera": "pan_left", "subject": "duck", "motion": "still"},
    ),
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


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
@pytest.mark.parametrize("style", STYLES)
def test_every_word_of_a_caption_is_known(language, style):
    generator, tokenizer = torch.Generator().manual_seed(0), Tokenizer()
    for values in zip(*(ATTRIBUTES[name] * 12 for name in ATTRIBUTES), strict=False):
        chosen = dict(zip(ATTRIBUTES, values, strict=True))
        if "none" in (chosen["second_subject"], chosen["second_colour"]):
            chosen |= {"second_subject": "none", "second_colour": "none"}
        text = compose(Attributes(**chosen), generator, language, style).text
        assert tokenizer.unknown_words(text, known_words()) == []
    assert tokenizer.unknown_words("a sad elephant, 大象", known_words()) == ["sad", "elephant", "象"]


def test_symbols_are_named_as_unknown():
    assert unknown_note("a 🔴 ball") == "words that the text encoder was never trained on: 🔴"
    assert unknown_note("🚗🌅").endswith("🚗, 🌅")
    assert unknown_note("a red ball, quickly: (twice) - 50%!").count("%") == 0
