"""Sora Video Metrics takes images and videos on file, and has an answer that JSON can hold for each of them."""

import json
import math

import pytest
import torch

from sora_core.video import VideoWriter

NAMES = ("report", "psnr", "ssim", "flicker", "jump", "closing")


@pytest.fixture
def clip():
    return torch.rand(6, 24, 32, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def measured(run):
    def call(video, **inputs):
        return dict(zip(NAMES, run("SoraVideoMetrics", video=video, **{"fps": 0.0} | inputs), strict=True))

    return call


def test_every_figure_is_a_number_of_the_report(measured, clip):
    found = measured((clip + 0.05).clamp(0, 1), reference=clip)
    for name in ("psnr", "jump", "closing", "flicker"):
        assert f"{found[name]:.2f}" in found["report"], name
    assert f"{found['ssim']:.4f}" in found["report"]
    assert found["psnr"] > 26


def test_without_a_reference_likeness_is_0(measured, clip):
    found = measured(clip)
    assert (found["psnr"], found["ssim"], found["flicker"]) == (0, 0, 0)
    assert "PSNR" not in found["report"]
    assert found["jump"] >= 1


@pytest.mark.parametrize("frames", [1, 2, 6])
def test_json_can_hold_every_answer(measured, clip, frames):
    for video in (clip[:frames], clip[:1].expand(frames, -1, -1, -1)):
        found = measured(video, reference=clip[:frames])
        assert all(math.isfinite(found[name]) for name in NAMES[1:])
        json.dumps(found, allow_nan=False)


def test_a_video_on_file_is_measured_as_its_frames_are(measured, clip, tmp_path):
    from comfy_api.latest import InputImpl

    with VideoWriter(tmp_path / "a.mp4", 32, 24, 8, crf=1, pixel_format="yuv444p") as writer:
        writer.write(clip)
    video = InputImpl.VideoFromFile(str(tmp_path / "a.mp4"))
    found = measured(video, reference=clip)
    assert found["psnr"] > 35
    images = measured(video.get_components().images, reference=clip)
    assert found["jump"] == pytest.approx(images["jump"], abs=0.01)
    assert measured(video, reference=video)["psnr"] == 100


def test_progress_is_told_as_frames_go_by(measured, clip, monkeypatch):
    told = []
    monkeypatch.setattr("comfy.utils.PROGRESS_BAR_HOOK", lambda value, total, *_, **__: told.append((value, total)))
    measured(clip.repeat(5, 1, 1, 1))
    assert told == [(16, 30), (30, 30)]


def test_frames_may_be_grey_or_transparent(measured, clip):
    grey = clip.mean(-1, keepdim=True)
    assert measured(grey, reference=clip) == measured(grey.expand(-1, -1, -1, 3), reference=clip)
    clear = torch.cat([clip, torch.zeros_like(grey)], dim=-1)
    assert measured(clear, reference=clip)["psnr"] == 100


def test_times_follow_the_rate_of_images(measured, clip):
    clip = clip[:1].repeat(6, 1, 1, 1)
    clip[3:] = 1 - clip[3:]
    assert "at 0.38 s" in measured(clip)["report"]
    assert "at 1.50 s" in measured(clip, fps=2.0)["report"]


def test_another_length_or_size_is_refused_with_both(measured, clip):
    with pytest.raises(ValueError, match="the video has 5 frames and the reference 6; give both the same number"):
        measured(clip[:5], reference=clip)
    with pytest.raises(ValueError, match="the video is 16x24 and the reference 32x24; give both the same size"):
        measured(clip[:, :, :16], reference=clip)


def test_the_report_stands_in_the_panel(comfy, pack, clip):
    output = comfy.NODE_CLASS_MAPPINGS["SoraVideoMetrics"].execute(clip)
    assert output.ui["sora_text"] == [output.args[0]]


def test_a_request_to_stop_is_heard(run, clip, asked_to_stop):
    with pytest.raises(asked_to_stop):
        run("SoraVideoMetrics", video=clip)
