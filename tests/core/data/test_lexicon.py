"""The lexicon covers the whole vocabulary, and no phrase means two things."""

from __future__ import annotations

import pytest

from sora_core.data.worlds import lexicon
from sora_core.data.worlds.attributes import ATTRIBUTES, CAMERAS, SIDES
from sora_core.text.tokenizer import pieces


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_value_has_ten_different_phrases(language, attribute):
    values = lexicon.load(language).phrases[attribute]
    expected = set(ATTRIBUTES[attribute]) - ({"none"} if attribute == "second_colour" else set())
    assert set(values) == expected
    for value, phrases in values.items():
        assert len({phrase.text for phrase in phrases}) >= 10, (attribute, value)
        assert len({phrase.text for phrase in phrases}) == len(phrases), (attribute, value)


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
def test_camera_shots_and_relations_have_ten_phrases(language):
    words = lexicon.load(language)
    assert set(words.shots) == set(CAMERAS)
    assert all(len(set(phrases)) >= 10 for phrases in words.shots.values())
    assert set(words.relations) == set(SIDES)
    for relations in words.relations.values():
        assert len(set(relations)) >= 10
        assert all(relation.count("{}") == 1 for relation in relations)


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_no_phrase_means_two_values_of_one_attribute(language, attribute):
    words = lexicon.load(language)
    owners: dict[tuple[str, ...], str] = {}
    named = [(value, phrase.key) for value, phrases in words.phrases[attribute].items() for phrase in phrases]
    named += [(value, key) for value, keys in words.also.get(attribute, {}).items() for key in keys]
    if attribute == "camera":
        named += [(value, phrase.key) for value, phrases in words.shots.items() for phrase in phrases]
    for value, key in named:
        assert owners.setdefault(tuple(pieces(key)), value) == value, key


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
@pytest.mark.parametrize("style", ["short", "descriptive"])
def test_there_are_twelve_sentence_patterns(language, style):
    patterns = lexicon.load(language).templates[style]
    assert len(set(patterns)) >= 12


@pytest.mark.parametrize(
    ("plain", "third", "continuous"),
    [
        ("hop up and down", "hops up and down", "hopping up and down"),
        ("go left", "goes left", "going left"),
        ("push in", "pushes in", "pushing in"),
        ("fly up", "flies up", "flying up"),
        ("stay still", "stays still", "staying still"),
        ("lie still", "lies still", "lying still"),
        ("circle around", "circles around", "circling around"),
        ("slowly push in", "slowly pushes in", "slowly pushing in"),
    ],
)
def test_english_verbs_are_inflected(plain, third, continuous):
    assert lexicon.third_person(plain) == third
    assert lexicon.participle(plain) == continuous


def test_articles_follow_the_sound():
    assert lexicon.article("orange cube") == "an orange cube"
    assert lexicon.article("red cube") == "a red cube"


def test_another_language_is_refused_by_name():
    with pytest.raises(ValueError, match="language is 'fr'"):
        lexicon.load("fr")
