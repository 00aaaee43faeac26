"""A critic learns to read latents through noise, and a run leaves a file that fits its latents alone."""

from dataclasses import replace

import pytest
import torch

from sora_core.cli import main
from sora_core.data.latents import LatentShard
from sora_core.data.worlds.attributes import SHEET
from sora_core.training.critic import Critic, CriticTask, load_critic, perceived_difference, save_critic
from sora_core.training.dit import DiTTask
from sora_core.training.judge import is_held_out


def shard(clips: int = 6, frames: int = 3) -> LatentShard:
    """Latents in which the signs of three channels are the colour and nothing else is said."""
    labels = torch.zeros(clips, len(SHEET), dtype=torch.uint8)
    labels[:, 1] = torch.arange(clips)
    latents = torch.zeros(clips, 2, 4, frames, 4, 6)
    for bit in range(3):
        latents[:, :, bit] = 2.0 * (labels[:, 1] >> bit & 1).view(-1, 1, 1, 1, 1) - 1
    return LatentShard(latents.half(), latents[:, :, None, :, :1].half(), labels, fps=8.0, periodic=False)


def test_it_learns_what_latents_show():
    task = CriticTask([shard()], [shard()], channels=4, cells=600)
    before = task.accuracy(batches=4)["colour"]
    optimizer = torch.optim.Adam(task.module.parameters(), lr=3e-3)
    for number in range(40):
        loss, _, samples = task.loss(number)
        assert samples > 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = task.accuracy(batches=4)
    assert after["colour"] > max(0.7, before)
    assert "second_subject" not in after  # no clip has one


def test_stills_are_not_asked_where_things_go():
    task = CriticTask([shard(frames=1)], [], channels=4, cells=100)
    loss, _, _ = task.loss(0)
    loss.backward()
    asked = {name: head.weight.grad is not None for name, head in zip(SHEET, task.module.heads, strict=True)}
    assert {name for name, was in asked.items() if not was} == {"motion", "camera"}


def test_the_command_leaves_a_critic_that_training_takes(store, tmp_path, capsys):
    data, run = str(store.shards[0].path.parent), tmp_path / "critic"
    assert main(["train", "critic", "--data", data, "--out", str(run), "--steps", "1"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(run / "critic.safetensors")
    assert "colour" in said.err
    command = ["train", "dit", "--data", data, "--critic", str(run / "critic.safetensors"), "--steps", "1"]
    assert main([*command, "--out", str(tmp_path / "dit"), "--preset", "nano"]) == 2
    assert "reads latents of 128 channels; this model's have 16" in capsys.readouterr().err


def test_clips_without_a_number_do_not_stop_it_and_are_not_held_out(store, tmp_path):
    held_out = next(shard for shard in store.shards if is_held_out(shard))
    for name in ("footage_e60f8701_00_9x128x128", "footage_00000007_00_9x128x128", "mine"):
        assert not is_held_out(replace(held_out, path=tmp_path / f"{name}.safetensors"))


def test_a_file_that_holds_none_is_refused(nano_file, tmp_path):
    with pytest.raises(ValueError, match="holds no critic; train one with: sora train critic"):
        load_critic(nano_file, 16)
    with pytest.raises(FileNotFoundError, match="there is no critic"):
        load_critic(tmp_path / "none.safetensors", 16)
    critic = Critic(4)
    critic.initialise(torch.Generator().manual_seed(0))
    save_critic(tmp_path / "critic.safetensors", critic, {})
    again = load_critic(tmp_path / "critic.safetensors", 4)
    noisy, sigma = torch.randn(1, 4, 2, 4, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0.3])
    torch.testing.assert_close(again(noisy, sigma)[0], critic(noisy, sigma)[0], atol=2e-3, rtol=1e-2)
    save_critic(tmp_path / "critic.safetensors", Critic(4, width=16), {})
    with pytest.raises(ValueError, match="holds a critic of another version"):
        load_critic(tmp_path / "critic.safetensors", 4)


@pytest.fixture
def critic():
    critic = Critic(16, width=16)
    critic.initialise(torch.Generator().manual_seed(0))
    return critic.requires_grad_(False)


def test_what_looks_the_same_differs_in_nothing_and_unasked_answers_do_not_count(critic):
    real = torch.randn(2, 16, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    made = real.clone()
    made[1] = made[1].flip(-1)
    differences = []
    for asked in (False, True):
        draws = torch.Generator().manual_seed(2)
        differences.append(perceived_difference(critic, real, made, torch.full((2, len(SHEET)), asked), draws))
    unasked, asked = differences
    assert torch.equal(unasked[0], torch.tensor(0.0))
    assert 0 < unasked[1] < asked[1]


def test_a_transformer_learns_to_look_right(nano, critic):
    latents = torch.randn(8, 2, 16, 1, 4, 4, generator=torch.Generator().manual_seed(0)).half()
    stills = LatentShard(latents, latents[:, :, None], torch.zeros(8, 9, dtype=torch.uint8), fps=8.0, periodic=False)
    task = DiTTask(nano.config, [stills], nano.text, nano.vae, tokens=512, compile=False, critic=critic)
    task.dit.load_state_dict(nano.dit.state_dict())
    optimizer = torch.optim.Adam(task.dit.parameters(), lr=1e-3)
    seen = []
    for _ in range(8):
        loss, figures, _ = task.loss(0)
        seen.append(figures["perceived"])
        optimizer.zero_grad()
        (100 * loss).backward()
        optimizer.step()
    assert 0 < seen[-1] < 0.9 * seen[0]


def test_what_is_given_or_lost_in_noise_is_not_looked_at(nano, critic, monkeypatch):
    from sora_core.training import dit, rows

    latents = torch.randn(8, 2, 16, 1, 4, 4, generator=torch.Generator().manual_seed(0)).half()
    stills = LatentShard(latents, latents[:, :, None], torch.zeros(8, 9, dtype=torch.uint8), fps=8.0, periodic=False)
    task = DiTTask(nano.config, [stills], nano.text, nano.vae, tokens=512, compile=False, critic=critic)
    monkeypatch.setattr(rows, "draw_levels", lambda grid, draws, lowest: torch.full(grid, dit.UNSEEN))
    assert task.loss(0)[1]["perceived"] == 0
