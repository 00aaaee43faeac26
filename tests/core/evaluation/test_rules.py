"""Rules of the flat worlds hold on rendered clips and fail on clips that deserve nothing; events are counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sora_core.evaluation.evaluate import Evaluation
from sora_core.evaluation.fidelity import SamplerSettings, rendered
from sora_core.evaluation.judge import load_judge
from sora_core.evaluation.objects import (
    SHAPE,
    appearances,
    behind_a_wall,
    object_report,
    passes_behind,
    returns,
    settled,
    swaps,
)
from sora_core.evaluation.rules import FLAT, KINDS, asked, controls, judged, world_report
from sora_core.evaluation.summary import table


@pytest.mark.parametrize("world", FLAT)
def test_rendered_clips_keep_all_rules_and_controls_do_not(world):
    scores = {kind: [] for kind in KINDS[1:]}
    for i, (prompt, sheet, frames) in enumerate(asked(world, 6)):
        assert prompt.text
        for kind, clip in controls(frames, torch.Generator().manual_seed(i)):
            scores[kind].append(judged(clip, sheet, 8.0).score)
    means = {kind: sum(values) / len(values) for kind, values in scores.items()}
    assert means["rendered"] > 0.97
    assert means["shuffled"] < means["rendered"] - 0.1
    assert means["still"] == 0
    assert means["noise"] < 0.5


def test_a_generated_world_is_scored_beside_its_controls(nano):
    report = world_report(nano, "painter", 2, SamplerSettings(steps=1))
    assert report["clips"] == 2
    assert set(report["score"]) == set(KINDS)
    assert report["marks stay"]["rendered"] == 1
    lines = table({"worlds": {"painter": report}, "summary": []}).splitlines()
    assert any(line.startswith("painter, score: ") and "shuffled" in line and "noise" in line for line in lines)


def look(subject="duck", colour="red", second="none"):
    return {"subject": subject, "colour": colour, "second_subject": second}


def test_an_answer_that_lasts_one_frame_is_no_event():
    assert settled(["a", "a", "b", "a", "a", "c", "c"]) == ["a", "c"]
    assert settled(["a", "b"]) == ["a"]
    assert appearances([look()] * 3 + [look(second="cube")] + [look()] * 3) == 0
    assert appearances([look()] * 3 + [look(second="cube")] * 3 + [look()] * 2 + [look(second="car")] * 2) == 2
    assert appearances([look(second="cube")] * 4) == 0
    assert swaps([look()] * 3 + [look("car", "blue")] * 3) == 2
    assert swaps([look()] * 6) == 0


def test_a_thing_returns_if_subject_and_colour_do():
    clip = [look()] * 4 + [look("cube")] * 3
    assert returns(clip + [look()] * 4, clip + [look()] * 4)
    assert not returns(clip + [look(colour="blue")] * 4, clip + [look(colour="blue")] * 4)
    for prompt in behind_a_wall(4):
        assert prompt.attributes.occluder == "wall"
        assert prompt.attributes.motion in ("left", "right")


def test_only_a_thing_that_passes_behind_a_wall_can_be_the_same_after_it():
    judge, prompts = load_judge(), behind_a_wall(4)
    without = [replace(prompt, attributes=replace(prompt.attributes, occluder="none")) for prompt in prompts]
    clips, free = ([clip[0] for clip in rendered(each, SHAPE)] for each in (prompts, without))
    stills = [clip[:, :1].expand_as(clip) for clip in clips]
    passing, still, walled = (
        sum(passes_behind(judge, clip, prompt) for clip, prompt in zip(each, prompts, strict=True))
        for each in (clips, stills, free)
    )
    assert (passing, walled) == (4, 0)
    assert still <= 1  # where a thing stands, the judge may guess which way it would go


def test_objects_of_generated_clips_are_followed(nano, judge):
    report = object_report(nano, judge, 2, SamplerSettings(steps=1))
    for name in ("appearances per second", "swaps per minute", "behind the wall", "same after the wall"):
        assert {"generated", "rendered"} <= set(report[name])
        assert all(value is None or value >= 0 for value in report[name].values())
    assert {"worlds", "objects"} <= set(dir(Evaluation))


def test_things_that_never_pass_a_wall_are_not_said_to_change_behind_it(nano, judge, monkeypatch):
    monkeypatch.setattr("sora_core.evaluation.objects.passes_behind", lambda *_: False)
    report = object_report(nano, judge, 1, SamplerSettings(steps=1))
    assert set(report["same after the wall"].values()) == {None}
    lines = table({"objects": report, "summary": []}).splitlines()
    assert "objects, same after the wall: - (rendered -, other clips -)" in lines
