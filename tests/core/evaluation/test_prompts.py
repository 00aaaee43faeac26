"""Prompts of an evaluation: the same clips in every language and style, never those of training."""

from __future__ import annotations

import pytest

from sora_core.data.worlds import HELD_OUT
from sora_core.evaluation.fidelity import ceiling
from sora_core.evaluation.judge import load_judge
from sora_core.evaluation.prompts import described, paraphrases
from sora_core.shapes import VideoShape


def test_languages_and_styles_describe_the_same_clips():
    sets = [described(6, held_out=False, language=x, style=y) for x in ("en", "zh") for y in ("short", "descriptive")]
    for prompts in zip(*sets, strict=True):
        assert len({p.attributes for p in prompts}) == 1
        assert len({p.text for p in prompts}) == 4
    assert described(3, held_out=False) == sets[0][:3]


def test_wanted_values_are_those_of_the_clip():
    for prompt in described(20, held_out=True, style="descriptive"):
        assert {"subject", "colour", "environment"} <= prompt.wanted.keys()
        assert all(getattr(prompt.attributes, name) == value for name, value in prompt.wanted.items())
        assert "none" not in prompt.wanted.values()
        assert HELD_OUT(prompt.wanted["subject"], prompt.wanted["colour"], prompt.wanted["environment"])


def test_clips_with_something_in_front_or_a_second_toy_follow_until_there_are_enough():
    plain = described(8, held_out=False, style="descriptive")
    more = described(8, held_out=False, style="descriptive", rare=4)
    assert more[:8] == plain
    added = more[8:]
    assert added
    assert all(p.wanted.keys() in ({"occluder"}, {"second_subject", "second_colour"}) for p in added)
    for name in ("occluder", "second_subject"):
        already = sum(getattr(p.attributes, name) != "none" for p in plain)
        assert sum(name in p.wanted for p in added) == max(0, 4 - already)


def test_the_ceiling_asks_no_more_about_added_clips_than_the_score_does():
    prompts = described(2, held_out=False, style="descriptive", rare=1)
    assert len(prompts) > 2
    still = VideoShape(num_frames=1, height=64, width=64, fps=8.0)
    asked = ceiling(load_judge(), prompts, still).asked
    assert asked["subject"] == asked["environment"] == 2
    assert asked["occluder"]
    assert asked["second_subject"]


def test_paraphrases_are_read_and_thinned_evenly(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_text("".join(f"subject=ball;time=night\tsentence {i}\n" for i in range(10)), encoding="utf-8")
    assert paraphrases(path)[3].wanted == {"subject": "ball", "time": "night"}
    assert [p.text for p in paraphrases(path, 2)] == ["sentence 0", "sentence 5"]
    path.write_text("no labels here\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 1"):
        paraphrases(path)
