"""Prompt timelines: strict lines with errors that name the line, and weights that cross over."""

from __future__ import annotations

import time

import pytest

from sora_core.editing.geometry import Geometry
from sora_core.editing.timed import timeline_weights
from sora_core.shapes import Compression
from sora_core.text.timeline import Segment, parse, weights_at

_THREE = "[0-2s] a red ball\n\n [2s - 3.5s] a blue ball\n[3.5–6] night: [stars]"


def test_lines_become_segments():
    assert parse(_THREE) == [
        Segment(0.0, 2.0, "a red ball"),
        Segment(2.0, 3.5, "a blue ball"),
        Segment(3.5, 6.0, "night: [stars]"),
    ]


def test_chinese_brackets_and_units_are_read():
    assert parse("【0-2秒】红色的球\n［2～4 秒］：蓝色的球\n【４——６】绿色的球\n【６－８秒】夜晚") == [
        Segment(0.0, 2.0, "红色的球"),
        Segment(2.0, 4.0, "蓝色的球"),
        Segment(4.0, 6.0, "绿色的球"),
        Segment(6.0, 8.0, "夜晚"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the timeline is empty"),
        ("a red ball", 'line 1 is "a red ball"; a line begins with its seconds'),
        ("[0-2s] a\nmore words", 'line 2 is "more words"'),
        ("[0-2m] a", "line 1 is"),
        ("[-1-2s] a", "line 1 is"),
        ("[0-2s] a\n[2-2s] b", r"line 2 runs from 2 s to 2 s; the end must come after the start, such as \[2-3s\]"),
        ("[0-2s] a\n\n[2-3s]  ", r"line 3 has no prompt after \[2-3s\]"),
        ("[1-2s] a", r"line 1 runs from 1 s to 2 s, but a timeline starts at 0 s; write \[0-2s\]"),
        ("[0-2s] a\n[1.5-4s] b", r"line 2 .* lasts until 2 s; write \[2-4s\]"),
        (
            "[0-2s] a\n[3-4s] b",
            r"line 2 .* nothing is said in between; write \[2-4s\] or end the line before it at 3 s",
        ),
        ("[0-2s] a\n[2-4s] b\n[1-2s] c", "line 3 .* put the lines in order of time"),
    ],
)
def test_errors_name_the_line_and_the_fix(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_a_line_of_spaces_is_refused_at_once():
    """Nothing else runs in the process while a line is matched."""
    begun = time.process_time()
    for times in ("[0", "[0-1"):
        with pytest.raises(ValueError, match="line 1 is"):
            parse(f"{times}{' ' * 10_000}x] a")
    assert time.process_time() - begun < 1


def test_weights_are_steps_without_a_blend():
    segments = parse(_THREE)
    assert weights_at(segments, 0.0) == (1.0, 0.0, 0.0)
    assert weights_at(segments, 1.999) == (1.0, 0.0, 0.0)
    assert weights_at(segments, 2.0) == (0.0, 1.0, 0.0)
    assert weights_at(segments, 99.0) == (0.0, 0.0, 1.0)
    assert weights_at(segments, -1.0) == (1.0, 0.0, 0.0)


def test_a_blend_is_centred_on_the_boundary():
    segments = parse(_THREE)
    assert weights_at(segments, 1.5, 1.0) == pytest.approx((1.0, 0.0, 0.0))
    assert weights_at(segments, 1.75, 1.0) == pytest.approx((0.75, 0.25, 0.0))
    assert weights_at(segments, 2.0, 1.0) == pytest.approx((0.5, 0.5, 0.0))
    assert weights_at(segments, 2.5, 1.0) == pytest.approx((0.0, 1.0, 0.0))


@pytest.mark.parametrize("blend", [0.0, 0.3, 1.0, 50.0])
def test_weights_sum_to_one_and_at_most_two_prompts_mix(blend):
    segments = parse("[0-2] a\n[2-2.5] b\n[2.5-6] c\n[6-7] d")
    for step in range(-10, 90):
        weights = weights_at(segments, step / 10, blend)
        assert sum(weights) == pytest.approx(1.0)
        assert all(0.0 <= weight <= 1.0 for weight in weights)
        assert sum(weight > 1e-9 for weight in weights) <= 2


@pytest.mark.parametrize(("t", "blend"), [(float("nan"), 0.0), (0.0, -1.0), (0.0, float("inf"))])
def test_impossible_times_are_refused(t, blend):
    with pytest.raises(ValueError, match="must be"):
        weights_at(parse(_THREE), t, blend)


def test_a_prompt_that_holds_in_no_latent_frame_is_refused():
    geometry = Geometry.of(Compression(time=4, space=8), 16)
    segments = parse("[0-2s] a red ball\n[2-4s] a blue cube")
    with pytest.raises(ValueError, match=r"holds in no latent frame, whose middles are at 0\.00, 0\.31, 0\.81"):
        timeline_weights(segments, geometry, 5, 8.0, 0.0)
