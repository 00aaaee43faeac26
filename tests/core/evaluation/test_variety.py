"""What prompts leave open is compared with the clips they could describe, by how often each value is seen."""

from collections import Counter

import pytest

from sora_core.evaluation.evaluate import PARTS, USUAL
from sora_core.evaluation.fidelity import SamplerSettings
from sora_core.evaluation.judge import load_judge
from sora_core.evaluation.summary import table
from sora_core.evaluation.variety import OPEN, distance, short_prompts, variety_report


def test_the_distance_of_counts_does_not_know_how_many_there_are():
    assert distance(Counter(day=3, night=1), Counter(day=30, night=10))[0] == 0
    assert distance(Counter(day=4), Counter(night=9))[0] == 1
    apart, by_chance = distance(Counter(day=50, night=50), Counter(day=90, night=10))
    assert apart == pytest.approx(0.4)
    assert by_chance == pytest.approx((2 / 3.14159 * 0.7 * 0.3 * 2 / 100) ** 0.5, rel=1e-3)


def test_every_attribute_is_left_open_by_many_short_prompts():
    named = [mentioned for _, mentioned in short_prompts(64)]
    assert all(16 < sum(name not in mentioned for mentioned in named) < 60 for name in OPEN)


def test_clips_that_are_all_alike_are_far_from_rendered_ones(nano):
    report = variety_report(nano, load_judge(), 16, USUAL, SamplerSettings(steps=1))
    assert set(report["shares"]) == set(OPEN)
    assert all(sum(kinds["rendered"].values()) == pytest.approx(1, abs=1e-3) for kinds in report["shares"].values())
    places = report["environment left open, distance"]
    assert places["generated"] > places["by chance"]  # noise is everywhere the same place
    assert "variety" in PARTS
    lines = table({"variety": report, "summary": []}).splitlines()
    assert any(line.startswith("variety, time left open, distance: ") for line in lines)
