"""Latents that the transformer regenerated, and a decoder that trains on them."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from sora_core.cli import main
from sora_core.config import preset
from sora_core.data.store import ClipStore
from sora_core.pipeline import Sora
from sora_core.training.regenerated import Regenerator
from sora_core.training.vae import CROPS, PULSE_WEIGHT, VAETask, pulse


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mini() -> Sora:
    return Sora.load()


def test_regenerated_latents_show_the_same_scene_with_other_errors(mini, clips):
    video = torch.stack([ClipStore(clips).shards[0].frames(row) for row in range(2)])
    latent = mini.vae.encode(video.permute(0, 4, 1, 2, 3).float() / 255)
    regenerate = Regenerator(mini)
    once = regenerate(latent, draws(1))
    assert torch.equal(once, regenerate(latent, draws(1)))

    def alike(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])

    assert alike(once[0], latent[0]) > 0.5
    assert alike(once[0], latent[0]) > alike(once[0], latent[1]) + 0.2
    assert not torch.allclose(once, latent, atol=0.05)


def test_every_other_batch_trains_the_decoder_on_them(clips, nano):
    task, plain = (
        VAETask(preset("nano").vae, ClipStore(clips), compile=False, regenerate=regenerate)
        for regenerate in (Regenerator(nano), None)
    )
    for module in (task.module, plain.module):
        module.load_state_dict(nano.vae.state_dict())
    assert torch.equal(task.loss(0)[0], plain.loss(0)[0])
    loss, figures, _ = task.loss(1)
    assert not torch.equal(loss, plain.loss(1)[0])
    assert any(name.startswith("regenerated") for name in figures)
    loss.backward()
    assert all(p.grad is None for p in task.module.encoder.parameters())
    assert all(p.grad is not None for p in task.module.decoder.parameters())


@pytest.mark.parametrize("count", range(1, len(CROPS) + 1))
def test_crops_of_every_size_come_with_them_and_without(clips, count):
    task = VAETask(preset("nano").vae, ClipStore(clips), compile=False, fresh=False)
    task.crops = list(CROPS[:count])
    assert len({(step % count, task.is_other(step)) for step in range(2 * count)}) == 2 * count


def test_pulse_is_the_jump_into_a_latent_frame_over_that_within_one():
    steps = torch.tensor([0.0, 3, 1, 1, 1, 3, 1, 1, 1])  # a frame alone, then latent frames of four
    video = steps.cumsum(0)[None, None, :, None, None].expand(2, 3, -1, 4, 4)
    assert float(pulse(video, 4)) == pytest.approx(9)
    assert float(pulse(torch.zeros(1, 3, 9, 4, 4), 4)) == 1
    assert float(pulse(video[:, :, 1:5] + video[:, :, :4], 2)) == pytest.approx((16 + 4) / 2 / 4)


def test_a_decoder_is_trained_to_pulse_no_more_than_its_clips(clips, nano, monkeypatch):
    task = VAETask(preset("nano").vae, ClipStore(clips), compile=False, regenerate=Regenerator(nano))
    task.module.load_state_dict(nano.vae.state_dict())
    loss = task.loss(1)[0]
    video, draws = task.batch(1)
    with torch.no_grad():
        output = task.module.decode(task.regenerate(task.module.encode(video), draws).clone())
    excess = pulse(output, 4).log() - pulse(video, 4).log()
    monkeypatch.setattr("sora_core.training.vae.PULSE_WEIGHT", 0.0)
    torch.testing.assert_close(loss - task.loss(1)[0], PULSE_WEIGHT * excess.square(), rtol=1e-3, atol=1e-6)
    for step in (0, 4):  # the first is compressed alone, the second a picture
        assert torch.isfinite(task.loss(step)[0])


def test_the_command_takes_a_model_file_to_regenerate_with(clips, nano_file, tmp_path):
    command = ["train", "vae", "--preset", "nano", "--data", str(clips), "--steps", "2"]
    assert main([*command, "--out", str(tmp_path / "with"), "--regenerate", str(nano_file)]) == 0
    assert main([*command, "--out", str(tmp_path / "without")]) == 0
    one, other = (load_file(tmp_path / out / "state.safetensors") for out in ("with", "without"))
    name = next(name for name in one if name.startswith("model.decoder"))
    assert not torch.equal(one[name], other[name])
