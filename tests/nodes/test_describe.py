"""Sora Describe Video tells what videos and images show, in either language, and its text goes on to a prompt."""

import pytest
import torch

from sora_core.evaluation.captions import caption_score
from sora_core.evaluation.evaluate import USUAL
from sora_core.evaluation.fidelity import rendered
from sora_core.evaluation.prompts import described
from sora_core.text.recognise import read
from sora_core.video import VideoWriter


@pytest.fixture(scope="module")
def shown():
    """What a rendered clip shows, and its frames `t h w 3` in [0, 1]."""
    (prompt,) = described(1, held_out=False)
    (clip,) = rendered([prompt], USUAL)
    return prompt.attributes, clip[0].movedim(0, -1)


def describe(run, video, language="English", **settings):
    return run(
        "SoraDescribeVideo", video=video, language=language, **{"temperature": 0.0, "seed": 0, "fps": 0.0} | settings
    )


@pytest.mark.parametrize("language", ["English", "Chinese"])
def test_images_are_told(run, shown, language):
    attributes, frames = shown
    score = caption_score([describe(run, frames, language)[0]], [attributes])
    assert score.recall == score.precision == 1.0


def test_a_video_on_file_is_told_as_its_frames_are(run, shown, tmp_path):
    from comfy_api.latest import InputImpl

    with VideoWriter(tmp_path / "a.mp4", 64, 64, 8, crf=1) as writer:
        writer.write((shown[1] * 255).round().byte())
    assert describe(run, InputImpl.VideoFromFile(str(tmp_path / "a.mp4")))[0] == describe(run, shown[1])[0]


def test_one_image_is_told_without_motion(run, shown):
    told = read(describe(run, shown[1][:1])[0]).attributes
    assert told["subject"] == shown[0].subject
    assert not {"motion", "camera"} & told.keys()


def test_frames_may_be_grey_or_transparent(run, shown):
    grey = shown[1].mean(-1, keepdim=True)
    assert describe(run, grey)[0] == describe(run, grey.expand(-1, -1, -1, 3))[0]
    clear = torch.cat([shown[1], torch.ones_like(grey)], dim=-1)
    assert describe(run, clear)[0] == describe(run, shown[1])[0]


def test_a_seed_draws_other_words_only_if_asked(run, shown):
    assert describe(run, shown[1], seed=1)[0] == describe(run, shown[1], seed=2)[0]
    drawn = {describe(run, shown[1], seed=seed, temperature=1.0)[0] for seed in range(4)}
    assert len(drawn) > 1


def test_a_request_to_stop_is_heard(run, shown, asked_to_stop):
    with pytest.raises(asked_to_stop):
        describe(run, shown[1])
