"""Drift: videos that stay have none, and each kind of change is seen where it belongs."""

import json

import pytest
import torch

from sora_core.cli import INTERRUPTED, main
from sora_core.data.worlds import render, sample_scene
from sora_core.data.worlds.captions import Draw
from sora_core.evaluation.drift import SUBJECTS, drift, evaluate_drift, look, slope, subject_hue, summarised
from sora_core.randomness import generator
from sora_core.text.expander import completed
from sora_core.text.recognise import recognise

FPS, COUNT = 4.0, 120  # 30 seconds


def scene(i: int, *, light=0.0, fade=0.0, turn=0.0) -> torch.Tensor:
    """A red square on a green ground with some texture, changed by so much over the whole video."""
    share = i / (COUNT - 1)
    picture = torch.empty(3, 32, 32)
    picture[:] = torch.tensor([0.2, 0.5, 0.2])[:, None, None]
    picture[:, ::2] += 0.1
    angle = torch.tensor(turn * share)
    red = torch.stack([0.8 * torch.ones(()), 0.8 * angle.clamp(0, 60) / 60, torch.zeros(())])
    x = 2 + i % 16
    picture[:, 8:18, x : x + 10] = red[:, None, None]
    mean = picture.mean()
    return ((picture - mean) * (1 - fade * share) + mean + light * share).clamp(0, 1)


def measured(**changes):
    return drift([look(scene(i, **changes), 0.0) for i in range(COUNT)], FPS, 0.0)


def test_a_video_that_stays_has_no_drift():
    assert all(abs(value) < 2e-3 for value in measured().values())


def test_each_change_is_measured_at_its_size():
    assert measured(light=0.09)["mean"] == pytest.approx(0.03, rel=0.1)
    assert measured(fade=0.3)["deviation"] == pytest.approx(-0.1, rel=0.1)
    assert measured(turn=30)["hue"] == pytest.approx(30, abs=4)
    assert measured(light=0.3)["histogram"] > 0.05


def test_slope_is_per_ten_seconds():
    assert slope([0.0, 1.0, 2.0, 3.0], 30.0) == pytest.approx(1.0)


def test_hues_around_zero_do_not_cancel():
    picture = torch.zeros(3, 8, 8)
    picture[0] = 1.0
    picture[1, :4], picture[2, 4:] = 0.1, 0.1  # hues of 6 and of 354 degrees
    assert min(subject_hue(picture, 0.0), 360 - subject_hue(picture, 0.0)) < 1
    assert subject_hue(picture, 120.0) is None


def test_a_subject_that_is_lost_has_not_kept_its_hue():
    frames = [look(scene(i), 0.0) for i in range(COUNT)]
    gone = [look(torch.full((3, 32, 32), 0.5), 0.0)] * 10
    lost = drift(frames[:-10] + gone, FPS, 0.0)
    assert lost["hue"] == 180
    never = drift(gone * 12, FPS, 0.0)
    assert never["hue"] is None
    assert summarised([lost, never, measured()])["hue kept"] == 0.5


@pytest.mark.parametrize(("prompt", "hue"), SUBJECTS)
def test_what_is_taken_for_the_subject_of_a_prompt_is_its_subject(prompt, hue):
    attributes = completed(recognise(prompt) | {"camera": "static", "second_subject": "none"}, Draw(generator(0, "a")))
    clip = render(sample_scene(generator(0, "b"), attributes, seconds=2.0), 2, 64, 64, 8.0)
    picture, subject = clip.frames[1].permute(2, 0, 1).float() / 255, clip.truth.mask[1] == 1
    assert subject_hue(picture, hue) is not None
    assert subject_hue(picture * ~subject, hue) is None


def test_too_short_videos_and_no_seeds_are_refused(nano_file):
    from sora_core.shapes import VideoShape

    with pytest.raises(ValueError, match="seeds is 0"):
        evaluate_drift(nano_file, seeds=0)
    with pytest.raises(ValueError, match="drift can be seen from 20 s on"):
        evaluate_drift(nano_file, shape=VideoShape(num_frames=80, height=16, width=16, fps=8.0))


def test_the_command_leaves_standard_output_to_the_path_of_the_report(nano_file, tmp_path, monkeypatch, capsys):
    out = tmp_path / "drift.json"
    monkeypatch.setattr("sora_core.evaluation.seams.evaluate_seams", lambda sora, *, steps, say: {"seam": 1.0})
    still = dict.fromkeys(("mean", "deviation", "histogram", "hue"), 0.0)
    monkeypatch.setattr("sora_core.evaluation.drift.measure", lambda *_: still)
    assert main(["evaluate", "--long", "--checkpoint", str(nano_file), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(out)]
    assert "drift over 60 s" in said.err
    assert json.loads(out.read_text(encoding="utf-8"))["seams"] == {"seam": 1.0}


@pytest.mark.parametrize("made", [0, 1, 2, 5])
def test_a_run_that_is_cut_off_leaves_the_seams_and_the_pairs_of_videos(nano_file, tmp_path, monkeypatch, made):
    videos = iter([dict.fromkeys(("mean", "deviation", "histogram", "hue"), 0.0)] * made)

    def measure_or_interrupt(*_):
        if (found := next(videos, None)) is None:
            raise KeyboardInterrupt
        return found

    out = tmp_path / "drift.json"
    monkeypatch.setattr("sora_core.evaluation.seams.evaluate_seams", lambda sora, *, steps, say: {"seam": 1.0})
    monkeypatch.setattr("sora_core.evaluation.drift.measure", measure_or_interrupt)
    assert main(["evaluate", "--long", "--checkpoint", str(nano_file), "--out", str(out)]) == INTERRUPTED
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["seams"] == {"seam": 1.0}
    assert report.get("videos", 0) == len(report.get("uncorrected", {}).get("each", [])) == made // 2
