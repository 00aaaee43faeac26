"""The held-out sentences are well formed, cover the vocabulary, and are mostly understood without a network."""

from __future__ import annotations

from collections import Counter

import pytest

from sora_core.data.worlds.attributes import ATTRIBUTES
from sora_core.data.worlds.lexicon import LANGUAGES
from sora_core.evaluation.evaluate import SENTENCES
from sora_core.text.recognise import recognise
from sora_core.text.tokenizer import Tokenizer


def _paraphrases(language: str) -> list[tuple[dict[str, str], str]]:
    lines = (SENTENCES / f"paraphrases_{language}.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines)
    return [(dict(entry.split("=") for entry in labels.split(";")), text) for labels, text in pairs]


@pytest.mark.parametrize("language", LANGUAGES)
def test_labels_are_values_of_the_vocabulary_and_lines_differ(language):
    paraphrases = _paraphrases(language)
    assert len({text for _, text in paraphrases}) == len(paraphrases) >= 100
    for labels, text in paraphrases:
        assert all(value in ATTRIBUTES[name] for name, value in labels.items()), text
        assert ("second_subject" in labels) == ("second_colour" in labels), text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("attribute", ["subject", "colour", "environment", "time", "motion", "camera"])
def test_every_value_is_asked_for_at_least_twice(language, attribute):
    counts = Counter(labels.get(attribute) for labels, _ in _paraphrases(language))
    assert all(counts[value] >= 2 for value in ATTRIBUTES[attribute]), counts


@pytest.mark.parametrize("language", LANGUAGES)
def test_most_of_what_people_ask_for_is_recognised(language):
    paraphrases = _paraphrases(language)
    right = sum(recognise(text).get(name) == value for labels, text in paraphrases for name, value in labels.items())
    assert right / sum(len(labels) for labels, _ in paraphrases) > 0.9


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_fit_the_tokenizer(language):
    assert not any(Tokenizer().overflow(text) for _, text in _paraphrases(language))
