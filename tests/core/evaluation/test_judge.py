"""The judge reads clips of any length and aspect, treats stills as clips that hold still, and refuses other files."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from sora_core.cli import main
from sora_core.data.store import ClipStore, Shard, write_shard
from sora_core.data.worlds.attributes import ATTRIBUTES, Attributes
from sora_core.evaluation.judge import (
    MOVING,
    answers,
    load_judge,
    probabilities,
    resized,
    save_judge,
    shift_in_time,
    stride_at,
)
from sora_core.training.judge import JudgeTask, is_held_out, mirrored, worsened


def _video(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (47, 100), (160, 72), (30, 30)])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_any_size_and_length_is_answered(judge, height, width, frames):
    (sheet,) = answers(judge, _video(1, 3, frames, height, width), fps=4.0)
    expected = set(ATTRIBUTES) if frames > 1 else set(ATTRIBUTES) - set(MOVING)
    assert set(sheet) == expected
    assert all(sheet[name] in ATTRIBUTES[name] for name in sheet)


def test_a_clip_that_holds_still_looks_like_its_frame(judge):
    frame = _video(2, 3, 1, 64, 64)
    still = judge(frame)
    held = judge(frame.expand(-1, -1, 7, -1, -1))
    for a, b in zip(still, held, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_answers_do_not_depend_on_the_batch(judge):
    videos = _video(3, 3, 5, 64, 64)
    together = probabilities(judge, videos, 4.0)
    alone = probabilities(judge, videos[1:2], 4.0)
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a[1:2], b, atol=1e-4)


def test_time_order_matters(judge):
    video = _video(1, 3, 9, 64, 64)
    forward, backward = judge(video), judge(video.flip(2))
    assert not torch.allclose(forward[4], backward[4], atol=1e-3)


def test_long_clips_are_read_in_windows(judge):
    video = _video(1, 3, 40, 64, 64)
    found, *halves = (probabilities(judge, part, fps=4.0) for part in (video, video[:, :, :25], video[:, :, 15:]))
    for whole, first, last in zip(found, *halves, strict=True):
        assert torch.allclose(whole, (first + last) / 2, atol=1e-5)
        assert torch.allclose(whole.sum(1), torch.ones(1), atol=1e-5)


def test_frames_are_a_quarter_second_apart():
    assert [stride_at(fps) for fps in (2.0, 4.0, 8.0, 12.0, 16.0, 24.0)] == [1, 1, 2, 3, 4, 6]


def test_resizing_keeps_the_aspect():
    assert resized(_video(1, 3, 1, 128, 96)).shape[-2:] == (88, 64)
    assert resized(_video(1, 3, 1, 64, 144)).shape[-2:] == (64, 144)


def test_shift_moves_quarters_of_the_channels_one_frame():
    x = torch.arange(4.0).reshape(1, 4, 1, 1, 1).expand(1, 4, 8, 1, 1)
    shifted = shift_in_time(x)[0, :, :, 0, 0]
    assert shifted[:, 0].tolist() == [0, 0, 1, 2]
    assert shifted[:, 2].tolist() == [1, 2, 3, 3]
    assert shifted[:, 7].tolist() == [0, 1, 2, 3]
    further = shift_in_time(x, 9)[0, :, :, 0, 0]
    assert further[:, 0].tolist() == [0, 0, 0, 0]
    assert further[:, 2].tolist() == [3, 3, 3, 3]


def test_saved_judges_come_back(judge, tmp_path):
    path = tmp_path / "judge.safetensors"
    save_judge(path, judge.state_dict())
    assert path.stat().st_size < 2_000_000
    again = load_judge(path)
    assert torch.allclose(again.heads[0].weight, judge.heads[0].weight, atol=1e-3)
    save_judge(path, {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="no judge of this version"):
        load_judge(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"judge\.safetensors is damaged"):
        load_judge(path)
    with pytest.raises(FileNotFoundError, match="sora train judge"):
        load_judge(tmp_path / "none.safetensors")


def test_training_keeps_a_part_of_the_clips_away(store):
    task = JudgeTask(store, clips=2, images=2)
    assert [shard.path.name for shard in task.held_out] == ["sandbox_00007_5x64x64.safetensors"]
    assert [shard.path.name for shard in task.shards] == ["sandbox_00006_5x64x64.safetensors"]
    assert set(task.accuracy(1)) == set(ATTRIBUTES)


@pytest.mark.parametrize("name", ["footage_3fa9c2d1_00_5x64x64", "footage_00000007_00_5x64x64", "toys", "my_7"])
def test_shards_of_videos_and_renamed_ones_are_trained_on(store, name):
    kept = store.shards[1].path
    assert not is_held_out(Shard.open(kept.rename(kept.with_name(f"{name}.safetensors"))))


def test_the_command_trains_a_judge_that_can_be_loaded_and_says_how_good_it_is(store, tmp_path, capsys):
    run = tmp_path / "run"
    command = ["train", "judge", "--preset", "nano", "--data", str(store.shards[0].path.parent), "--out", str(run),
               "--steps", "1"]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(run / "judge.safetensors")
    assert {line.split()[0] for line in said.err.splitlines()} == set(ATTRIBUTES)
    trained = load_file(run / "state.safetensors")["ema.heads.0.weight"]
    assert torch.equal(load_judge(run / "judge.safetensors").heads[0].weight, trained.half().float())
    more = [str(tmp_path / "more") if word == str(run) else word for word in command]
    assert main([*more, "--init", str(run / "judge.safetensors")]) == 0


def test_training_alternates_clips_and_stills_and_repeats_exactly(store):
    task = JudgeTask(store, clips=4, images=4)
    assert [task.batch(step, task.shards)[0].shape[2] for step in range(5)] == [5, 1, 5, 5, 5]
    first, again = (float(task.loss(5)[0].detach()) for _ in range(2))
    assert first == again


def stills_beside(store, clips):
    """The store with so many stills that are held out and as many that are not."""
    folder = store.shards[0].path.parent
    frames, labels = torch.zeros(clips, 1, 64, 64, 3), torch.zeros(clips, len(ATTRIBUTES))
    about = {"fps": 8.0, "world": "sandbox"}
    for number in (1006, 1008):
        write_shard(folder / f"sandbox_{number:05d}_1x64x64.safetensors", frames.byte(), labels.byte(), about)
    return ClipStore(folder)


def test_many_stills_take_no_steps_from_clips(store):
    task = JudgeTask(stills_beside(store, 100), clips=4, images=4)
    assert (len(task.shards), len(task.held_out)) == (2, 2)
    for shards in (task.shards, task.held_out):
        assert [task.batch(step, shards)[0].shape[2] for step in (0, 2, 3, 4, 6, -4, -8)] == [5] * 7


def test_motion_is_not_measured_on_stills(store):
    task = JudgeTask(stills_beside(store, 4), clips=4, images=4)
    task.held_out = [shard for shard in task.held_out if shard.shape[0] == 1]
    assert set(ATTRIBUTES) - set(task.accuracy(1)) == set(MOVING)


def test_mirror_changes_pixels_and_words_together():
    a = Attributes(subject="duck", colour="red", environment="sea", time="day", motion="left", camera="pan_right")
    video = _video(1, 3, 2, 8, 8).expand(16, -1, -1, -1, -1)
    labels = torch.tensor([a.indices()] * 16)
    flipped, named = mirrored(video, labels, torch.Generator().manual_seed(1))
    for clip, row in zip(flipped, named, strict=True):
        sheet = Attributes.from_indices(tuple(row.tolist()))
        moved = torch.equal(clip, video[0].flip(-1))
        assert (sheet.motion, sheet.camera) == (("right", "pan_left") if moved else ("left", "pan_right"))
    assert len({tuple(row.tolist()) for row in named}) == 2


def test_worsened_clips_stay_clips():
    video = _video(2, 3, 3, 24, 40)
    for seed in range(8):
        worse = worsened(video, torch.Generator().manual_seed(seed))
        assert worse.shape == video.shape
        assert 0 <= worse.min() <= worse.max() <= 1
        assert not torch.equal(worse, video)
