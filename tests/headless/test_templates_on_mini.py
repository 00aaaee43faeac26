"""The editing templates on the model that ships, small and in few steps: pictures come out, and what is given shows."""

from pathlib import Path

import pytest
import torch

from sora_core.headless.runner import run_prompt
from sora_core.headless.workflow import read_workflow
from sora_core.video import VideoReader

FOLDER = Path(__file__).resolve().parents[2] / "workflows" / "api"
EDITING = (
    "image_animation", "first_last_keyframes", "extend_forward_backward", "seamless_loop", "sdedit_style", "flow_edit",
    "connect_two_videos", "preview_to_final", "prompt_timeline",
)  # fmt: skip
STEPS = {"SoraSampler", "SoraEditVideo", "SoraFlowEdit"}


def frames_of(path):
    with VideoReader(path) as reader:
        return torch.cat(list(reader)).float().div(255)


@pytest.fixture(scope="module")
def made(server):
    """Runs an editing template with four steps at 48x48 and returns the frames of its files, `t h w 3` in [0, 1]."""

    def run(name):
        prompt = read_workflow(FOLDER / f"{name}.json")[1]
        assert any("bundled" in str(node["inputs"].get("checkpoint")) for node in prompt.values())
        for node in prompt.values():
            if node["class_type"] in STEPS:
                node["inputs"]["steps"] = 4
            if node["class_type"] == "SoraNoiseGrid":
                node["inputs"] |= {"width": 48, "height": 48}
            if node["class_type"] == "SoraEditVideo" and node["inputs"]["width"]:
                node["inputs"] |= {"width": 96, "height": 96}
            if node["class_type"] == "SoraTileModel":
                node["inputs"]["tile"] = 64
        return [frames_of(path) for path in run_prompt(prompt, server).files]

    return run


@pytest.mark.parametrize("name", EDITING)
def test_editing_template_makes_pictures_on_the_model_that_ships(made, name):
    videos = made(name)
    assert videos
    for video in videos:
        assert video.std((1, 2)).amin() > 0.01, "a frame of one colour"
        if name not in ("preview_to_final", "seamless_loop"):
            assert video.shape[1:3] == (48, 48)
    if name == "extend_forward_backward":
        *beginnings, _ = videos
        endings = [video[-8:] for video in beginnings]
        same = max(float((a - endings[0]).abs().mean()) for a in endings[1:])
        apart = min(float((a[:8] - b[:8]).abs().mean()) for i, a in enumerate(beginnings) for b in beginnings[:i])
        assert apart > 3 * same, "four beginnings differ and share one ending"
    if name == "seamless_loop":
        (video,) = videos
        rounds = video.unflatten(0, (3, -1))
        assert (rounds[0] - rounds[1]).abs().mean() < 0.02, "every round is the same"
    if name in ("sdedit_style", "flow_edit"):
        before, after = videos
        assert (before - after).abs().mean() > 0.01
    if name == "preview_to_final":
        preview, final = videos
        assert final.shape[1:3] == (96, 96)
        small = torch.nn.functional.avg_pool2d(final.movedim(-1, 1), 2).movedim(1, -1)
        assert (small - preview).abs().mean() < 0.15, "the final is the preview, larger"
