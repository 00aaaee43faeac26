"""Sora World Clip films what it is asked for, the same way every time, and knows where everything is."""

import re

import pytest
import torch

from sora_core.evaluation.comparison import measure
from sora_core.text.recognise import recognise


@pytest.fixture
def film(run):
    """The block on a small clip: caption, frames `t h w 3`, mask, depth and rate."""

    def call(**asked):
        video, caption, mask, depth = run("SoraWorldClips", **{"width": 32, "height": 32, "seconds": 1.0} | asked)
        parts = video.get_components()
        return caption, parts.images, mask, depth, float(parts.frame_rate)

    return call


@pytest.mark.parametrize("world", ["toys", "painter", "arcade"])
def test_every_output_has_the_size_that_was_asked_for(film, world):
    caption, frames, mask, depth, fps = film(world=world, width=48, seconds=0.5, fps=12.0)
    assert caption
    assert frames.shape == depth.shape == (6, 32, 48, 3)
    assert mask.shape == (6, 32, 48)
    assert fps == 12


def test_a_seed_is_a_clip(film):
    first, again, other = (film(seed=seed) for seed in (1, 1, 2))
    assert first[0] == again[0] != other[0]
    assert all(torch.equal(a, b) for a, b in zip(first[1:4], again[1:4], strict=True))
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("prompt", ["a green rocket rises on Mars at night", "一枚绿色的火箭在夜晚的火星上升起"])
def test_what_the_prompt_names_is_shown(film, prompt):
    asked = recognise(prompt)
    assert asked["subject"] == "rocket"
    for language in ("English", "Chinese"):
        said = recognise(film(prompt=prompt, language=language)[0])
        assert asked.items() <= said.items()


def test_what_the_prompt_leaves_open_is_drawn(film):
    said = [recognise(film(prompt="a green rocket", seed=seed, seconds=0.0)[0]) for seed in range(6)]
    assert {(each["subject"], each["colour"]) for each in said} == {("rocket", "green")}
    assert len({each["environment"] for each in said}) > 1


def test_captions_are_in_the_chosen_language(film):
    assert film(seconds=0.0)[0].isascii()
    assert not film(seconds=0.0, language="Chinese")[0].isascii()


def test_the_mask_lies_on_the_toy(film):
    _, frames, mask, _, _ = film(prompt="a red ball stands still in the studio during the day, static camera", seed=3)
    red = (frames[..., 0] > 0.35) & (frames[..., 1:].amax(-1) < 0.5 * frames[..., 0])
    assert mask[red].mean() > 0.9
    assert 0.03 < mask.mean() < 0.5


def test_depth_is_of_one_scale_over_the_clip(film):
    _, _, mask, depth, _ = film(prompt="a cube in the meadow, the camera pushes in", seconds=2.0)
    assert depth.max() == 1
    assert depth[:, 0].amin() == 0, "the sky is not black"
    near = [float(depth[t, ..., 0][mask[t] == 1].mean()) for t in (0, -1)]
    assert near[1] > 1.1 * near[0], "the toy does not come nearer"


def test_flat_worlds_are_black_in_depth(film):
    for world in ("painter", "arcade"):
        assert film(world=world)[3].count_nonzero() == 0


def test_a_loop_closes_and_has_whole_latent_frames(film):
    asked = {"prompt": "a blue car drives to the right", "seconds": 1.7, "seed": 4}
    _, frames, *_ = film(loop=True, **asked)
    assert len(frames) == 16
    # Ways back are faster than ways there, so the last step is not quite the median.
    loop, plain = (measure([each]).closing for each in (frames, film(**asked)[1]))
    assert loop < 2 < plain


def test_a_clip_may_be_one_frame(film):
    assert film(seconds=0.0)[1].shape == (1, 32, 32, 3)


def test_more_frames_than_memory_holds_are_refused(run):
    with pytest.raises(ValueError, match=r"900 frames of 2048x2048 are 3775 million .* at most 1 seconds"):
        run("SoraWorldClips", width=2048, height=2048, seconds=30.0, fps=30.0)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize(("width", "height", "fps"), [(1567, 1618, 12.6), (957, 1966, 69.6), (1280, 720, 24.0)])
def test_the_duration_that_a_refusal_names_is_not_refused(pack, width, height, fps, loop):
    with pytest.raises(ValueError, match="give at most") as told:
        pack.nodes.world.shape_for(width, height, 3600.0, fps, loop)
    most = float(re.search(r"at most ([\d.]+) seconds", str(told.value))[1])
    shape = pack.nodes.world.shape_for(width, height, most, fps, loop)
    assert shape.num_frames * width * height > 0.8 * pack.nodes.world.MOST_PIXELS


def test_a_prompt_that_names_nothing_is_refused(run):
    with pytest.raises(ValueError, match='prompt "an elephant" names no toy'):
        run("SoraWorldClips", prompt="an elephant")
    with pytest.raises(ValueError, match='prompt "大象在图书馆里慢慢地看书，'):  # no spaces to cut it at
        run("SoraWorldClips", prompt="大象在图书馆里慢慢地看书，" * 6)


@pytest.mark.parametrize("world", ["painter", "arcade"])
def test_other_worlds_refuse_prompts_and_loops(run, world):
    with pytest.raises(ValueError, match=f"only the seed draws the {world} world; empty the prompt"):
        run("SoraWorldClips", world=world, prompt="a red ball")
    with pytest.raises(ValueError, match="only toys have loops"):
        run("SoraWorldClips", world=world, loop=True)


def test_a_request_to_stop_is_heard(run, asked_to_stop):
    with pytest.raises(asked_to_stop):
        run("SoraWorldClips", width=32, height=32)
