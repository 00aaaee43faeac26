"""The whole report of a tiny model: every part is measured, written, and refused when asked for wrongly."""

from __future__ import annotations

import json

import pytest
import torch

from sora_core.evaluation.evaluate import ASPECTS, DURATIONS, SIZES, STEPS, aspect_shape, evaluate
from sora_core.evaluation.reconstruction import real_clips, rebuilt
from sora_core.pipeline import Sora
from sora_core.video import VideoWriter


def test_report_is_measured_printed_and_written(nano_file, judge_file, tmp_path):
    said: list[str] = []
    out = tmp_path / "report.json"
    parts = ("vae", "text", "loss", "outside")
    report = evaluate(nano_file, out, clips=1, parts=parts, steps=1, judge=judge_file, say=said.append)
    assert json.loads(out.read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    assert len(report["text"]) == 8
    assert report["text"]["seeds en descriptive"]["attributes"]["subject"]["asked"] == 1
    assert report["vae"]["synthetic 64"]["psnr"] > 0
    assert report["loss"]["seeds"]["sigma_0.8"] > 0
    assert len(report["outside"]["prompts"]) == 4
    assert {line["name"] for line in report["summary"]} >= {"VAE flicker", "text, held-out seeds, share of ceiling"}
    assert "score / ceiling" in said[-1]


def test_scores_over_sizes_steps_and_sentences_are_measured(nano_file, judge_file, tmp_path):
    (tmp_path / "paraphrases_en.txt").write_text("subject=ball;colour=red\tsomething round and red\n", encoding="utf-8")
    report = evaluate(
        nano_file, clips=1, parts=("paraphrases", "aspects", "sizes", "durations", "steps", "speed"), steps=1,
        judge=judge_file, sentences=tmp_path, say=lambda _: None,
    )  # fmt: skip
    assert report["paraphrases"].keys() == {"en"}
    assert report["paraphrases"]["en"]["attributes"]["colour"]["asked"] == 1
    assert len(report["aspects"]) == len(ASPECTS)
    assert report["aspects"]["80x80"]["attributes"]["subject"]["asked"] == 1
    assert list(report["sizes"]) == [f"{side}x{side}" for side in SIZES]
    assert [int(name.split()[0]) for name in report["durations"]] == sorted(DURATIONS)
    assert [int(name.split()[0]) for name in report["steps"]] == sorted(STEPS)
    assert report["speed"]["steps"] == 1
    assert report["speed"]["cpu_seconds"] > 0
    names = {line["name"] for line in report["summary"]}
    assert {"paraphrases, share of ceiling", "steps within 2 points of the most"} <= names


def test_what_few_clips_have_has_a_ceiling_for_sentences_too(nano_file, judge_file, tmp_path):
    labels = "subject=ball;occluder=wall;second_subject=cube"
    (tmp_path / "paraphrases_en.txt").write_text(f"{labels}\ta ball and a cube behind a wall\n", encoding="utf-8")
    report = evaluate(
        nano_file, clips=2, parts=("paraphrases",), steps=1, judge=judge_file, sentences=tmp_path, say=lambda _: None
    )
    cells = report["paraphrases"]["en"]["attributes"]
    assert cells.keys() == {"subject", "occluder", "second_subject"}
    assert all(cell["ceiling"] is not None for cell in cells.values())


def test_speed_is_that_of_the_sampling_that_the_report_names(nano_file, judge_file, monkeypatch):
    sample, used = Sora.sample, []

    def recorded(self, *given, **how):
        used.append((how["guidance"], how["sampler"]))
        return sample(self, *given, **how)

    monkeypatch.setattr(Sora, "sample", recorded)
    evaluate(
        nano_file, clips=1, parts=("speed",), steps=1, guidance=1.0, sampler="euler", judge=judge_file,
        say=lambda _: None,
    )  # fmt: skip
    assert set(used) == {(1.0, "euler")}


def test_wrong_requests_are_refused(nano_file, judge_file):
    with pytest.raises(ValueError, match="no part 'colour'"):
        evaluate(nano_file, parts=("colour",), judge=judge_file)
    with pytest.raises(ValueError, match="clips is 0"):
        evaluate(nano_file, clips=0, judge=judge_file)


def test_fifteen_aspects_have_one_area():
    shapes = [aspect_shape(aspect) for aspect in ASPECTS]
    assert len({(s.width, s.height) for s in shapes}) == 15
    assert all(abs(s.width * s.height / 6400 - 1) < 0.03 for s in shapes)
    assert abs(shapes[0].width / shapes[0].height - 4 / 9) < 0.02
    assert abs(shapes[-1].width / shapes[-1].height - 9 / 4) < 0.1


def test_any_clip_can_be_rebuilt(nano, draws):
    video = torch.rand((1, 3, 6, 19, 34), generator=draws)
    for exact in (True, False):
        copy = rebuilt(nano.vae, video, exact=exact)
        assert copy.shape == video.shape
        assert 0 <= copy.min() <= copy.max() <= 1


def test_real_clips_are_read_small(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 96, 64, 8) as writer:
        writer.write(torch.full((7, 64, 96, 3), 128, dtype=torch.uint8))
    (clip,) = real_clips(tmp_path, num_frames=5, side=32)
    assert clip.shape == (1, 3, 5, 32, 48)
    assert (clip - 0.5).abs().max() < 0.05
    with pytest.raises(ValueError, match="holds no videos"):
        list(real_clips(tmp_path / "none"))
