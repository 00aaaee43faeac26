"""Hashed tokens: stable, of fixed shape, never without a token."""

from __future__ import annotations

import pytest
import torch

from sora_core.text.tokenizer import Tokenizer


def test_ids_are_the_same_in_every_process():
    # Pinned: a checkpoint's table is indexed by these numbers, so a change of the hash makes it useless.
    red, hong = Tokenizer().tokenize("red 红")
    assert red.features == (5531, 2461, 537, 1853, 107, 5577, 5083)
    assert hong.features == (8343,)


def test_case_width_and_punctuation_do_not_matter():
    tokenizer = Tokenizer()
    plain, _ = tokenizer.encode(["a red ball rolls"])
    fancy, _ = tokenizer.encode(["A  RED, ball... rolls!"])
    wide, _ = tokenizer.encode(["ａ ｒｅｄ ball　rolls"])
    assert torch.equal(plain, fancy)
    assert torch.equal(plain, wide)


def test_every_batch_has_the_same_shape_and_padding_is_zero():
    tokenizer = Tokenizer(max_tokens=6, ngrams=5)
    ids, mask = tokenizer.encode(["one two", "", "a b c d e f g h i"])
    assert ids.shape == (3, 6, 5)
    assert ids.dtype == torch.int64
    assert mask.sum(dim=1).tolist() == [2, 1, 6]
    assert (ids[~mask] == 0).all()
    assert (ids[mask][:, 0] > 0).all()


@pytest.mark.parametrize("text", ["", "   ", "!?,.", "🙂"])
def test_a_prompt_without_words_still_has_one_token(text):
    tokenizer = Tokenizer()
    assert [token.text for token in tokenizer.tokenize(text)] == ["<empty>"]
    assert tokenizer.encode([text])[1].sum() == 1


def test_no_words_gives_an_empty_batch_of_the_right_shape():
    ids, mask = Tokenizer(max_tokens=4, ngrams=3).encode([])
    assert ids.shape == (0, 4, 3)
    assert mask.shape == (0, 4)


def test_related_words_share_features_and_unrelated_ones_do_not():
    tokenizer = Tokenizer(buckets=1 << 30)
    bounces, bouncing, cube = (set(token.features) for token in tokenizer.tokenize("bounces bouncing cube"))
    assert len(bounces & bouncing) >= 4
    assert not bounces & cube


def test_chinese_characters_know_their_neighbours():
    tokenizer = Tokenizer(buckets=1 << 30)
    first, second, third = tokenizer.tokenize("红色球")
    assert [first.text, second.text, third.text] == ["红", "色", "球"]
    assert (len(first.features), len(second.features), len(third.features)) == (2, 4, 2)
    assert set(first.features) & set(second.features)
    alone = tokenizer.tokenize("红")[0]
    assert first.features[0] == alone.features[0]
    assert len(alone.features) == 1


def test_mixed_scripts_are_separated():
    assert [token.text for token in Tokenizer().tokenize("a红ball 2球")] == ["a", "红", "ball", "2", "球"]


def test_ids_stay_within_the_table():
    ids, _ = Tokenizer(buckets=7).encode(["the quick brown fox jumps over the lazy dog 红色的球"])
    assert ids.min() == 0
    assert 1 <= ids.max() <= 7


def test_what_is_cut_off_is_told():
    tokenizer = Tokenizer(max_tokens=3)
    assert tokenizer.overflow("a red ball rolls away") == ["rolls", "away"]
    assert tokenizer.overflow("a red ball") == []
    assert tokenizer.unread_note(["a red ball", ""]) == ""
    note = "a caption is longer than 3 words; what comes after these is not read"
    assert tokenizer.unread_note(["a red ball rolls"] * 2 + ["红球"]) == note
    assert tokenizer.unread_note(["a red ball rolls", "红色的球"]).startswith("2 captions are longer than 3 words;")


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="max_tokens is 0"):
        Tokenizer(max_tokens=0)
