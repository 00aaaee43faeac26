"""Whatever captions say is known, and a prompt's other words and symbols are named."""

import pytest
import torch

from sora_core.data.worlds import lexicon
from sora_core.data.worlds.attributes import ATTRIBUTES, Attributes
from sora_core.data.worlds.captions import CAMERAS, STYLES, compose
from sora_core.text.known_words import unknown_note


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
@pytest.mark.parametrize("style", STYLES)
def test_every_word_of_a_caption_is_known(language, style):
    generator = torch.Generator().manual_seed(0)
    for values in zip(*(ATTRIBUTES[name] * 12 for name in ATTRIBUTES), strict=False):
        chosen = dict(zip(ATTRIBUTES, values, strict=True))
        if "none" in (chosen["second_subject"], chosen["second_colour"]):
            chosen |= {"second_subject": "none", "second_colour": "none"}
        text = compose(Attributes(**chosen), generator, language, style).text
        assert unknown_note(text) == ""


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
def test_what_loose_captions_call_the_camera_is_known(language):
    assert unknown_note(" ".join(CAMERAS[language])) == ""


def test_unknown_words_are_named_once_in_order():
    assert unknown_note("a sad elephant, a SAD 大象").endswith(": sad, elephant, 象")


def test_symbols_are_named_as_unknown():
    assert unknown_note("a 🔴 ball") == "words that the text encoder was never trained on: 🔴"
    assert unknown_note("🚗🌅").endswith("🚗, 🌅")
    assert unknown_note("a red ball, quickly: (twice) - 50%!").count("%") == 0
