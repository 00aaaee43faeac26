"""`sora train`: a run that is started again says what is asked of it otherwise than before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sora_core.cli import build_parser, main
from sora_core.cli.training_tasks import build_task
from sora_core.data.store import write_captions, write_shard


class Tiny:
    """One number that is to become small."""

    def __init__(self):
        self.module = nn.Linear(1, 1, bias=False)

    def loss(self, number):
        return self.module.weight.square().sum(), {}, 1

    def sheet(self, path):
        """Nothing to draw."""


@pytest.fixture
def again(monkeypatch, tmp_path, capsys):
    """Trains to one step more than the last time; returns the exit code and what was said on standard error."""
    monkeypatch.setattr("sora_core.cli.train.build_task", lambda *_: Tiny())
    monkeypatch.setattr("sora_core.cli.train.start_from", lambda *_: None)
    steps = 0

    def train(*options):
        nonlocal steps
        steps += 1
        code = main(["train", "dit", "--data", "d", "--out", str(tmp_path / "run"), "--steps", str(steps), *options])
        return code, capsys.readouterr().err

    return train


def test_another_rate_seed_or_mixture_is_told_once(again):
    assert again("--lr", "0.01") == (0, "")
    code, said = again("--lr", "0.02", "--seed", "3", "--share", "painter=0.1", "--slots", "2")
    assert code == 0
    assert said.splitlines() == [
        "--lr is 0.02 from here on; until now it was 0.01",
        "--seed is 3 from here on; until now it was 0",
        "--slots is 2 from here on; until now it was 1",
        "--share is {'painter': 0.1} from here on; until now it was {}",
    ]
    assert again("--lr", "0.02", "--seed", "3", "--share", "painter=0.1", "--slots", "2") == (0, "")


def test_another_model_to_start_from_is_told_or_refused(again):
    assert again("--init", "a.safetensors") == (0, "")
    code, said = again("--init", "b.safetensors")
    assert code == 0
    assert "b.safetensors does nothing now: " in said
    for _ in range(2):  # a refusal is not forgotten
        code, said = again()
        assert code == 2
        assert "run began with --init " in said


def test_settings_of_a_run_without_a_state_bind_nothing(again, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "loss", lambda *_: torch.zeros(()).fail)
        with pytest.raises(AttributeError):
            again("--init", "a.safetensors")
    assert again() == (0, "")


def test_shards_that_came_after_a_run_began_are_told(tmp_path, capsys):
    data, command = tmp_path / "data", ["train", "judge", "--preset", "nano", "--steps", "1"]
    arguments = build_parser().parse_args([*command, "--data", str(data), "--out", str(tmp_path / "run")])
    frames, labels = torch.zeros(1, 2, 64, 64, 3, dtype=torch.uint8), torch.zeros(1, 9, dtype=torch.uint8)
    for name, told in (("a", ""), ("b", "holds a shard that this"), ("c", "holds 2 shards that this")):
        write_shard(data / f"{name}.safetensors", frames, labels, {"fps": 8.0, "world": "sandbox"})
        assert len(build_task(arguments).store.shards) == 1
        said = capsys.readouterr().err
        assert told in said
        assert ("run did not begin with (b.safetensors" in said) == bool(told)


def test_captions_that_are_not_read_to_their_end_are_told(nano_file, tmp_path, capsys):
    path, command = tmp_path / "data" / "a.safetensors", ["train", "dit", "--init", str(nano_file), "--steps", "1"]
    frames, labels = torch.zeros(2, 5, 32, 32, 3, dtype=torch.uint8), torch.zeros(2, 0, dtype=torch.uint8)
    write_shard(path, frames, labels, {"fps": 8.0, "world": "footage"})
    for run, words in (("short", 64), ("long", 65)):
        write_captions(path, [["word " * words]] * 2)
        out = str(tmp_path / run)
        build_task(build_parser().parse_args([*command, "--data", str(path.parent), "--out", out]))
        assert ("a caption is longer than 64 words" in capsys.readouterr().err) == (run == "long")


@pytest.mark.parametrize(
    ("part", "options", "sentence"),
    [
        ("dit", ["--share", "opera=0.1"], "a share was given to 'opera', but the data hold only painter"),
        ("critic", [], "holds no sandbox clips, all that a critic reads"),
        (
            "dit",
            ["--drafts", "0.2", "--critic", "critic.safetensors"],
            "holds no sandbox clips, all that a critic reads",
        ),
        ("dit", [], "a.safetensors holds clips of 2 frames of 64x64, no whole latent cells and patches: frames must"),
    ],
)
def test_data_that_cannot_be_used_are_refused_before_they_are_encoded(part, options, sentence, tmp_path, capsys):
    refused(part, options, sentence, (2, 64, 64), tmp_path, capsys)


def test_clips_of_broken_patches_are_refused_before_they_are_encoded(tmp_path, capsys):
    sentence = (
        "clips of 5 frames of 72x64, no whole latent cells and patches: frames must be 1 + a multiple"
        " of 4 and sides multiples of 16; make others with: sora worlds --frames and --size"
    )
    refused("dit", [], sentence, (5, 64, 72), tmp_path, capsys)


def refused(part, options, sentence, size, tmp_path, capsys):
    """Train on a clip of that many frames, rows and columns, and be told why not."""
    frames, labels = torch.zeros(1, *size, 3, dtype=torch.uint8), torch.zeros(1, 9, dtype=torch.uint8)
    write_shard(tmp_path / "data" / "a.safetensors", frames, labels, {"fps": 8.0, "world": "painter"})
    command = ["train", part, "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main([*command, *options]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("sora train: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not (tmp_path / "run").exists()
