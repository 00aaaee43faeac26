"""Training goes on from a model file."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sora_core.checkpoint import save_checkpoint
from sora_core.cli.train import start_from
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore
from sora_core.dit import DiT
from sora_core.training.dit import DiTTask


def test_a_model_without_convolutions_over_cells_is_a_start_for_one_with_them(nano, draws, tmp_path):
    old = {name: value for name, value in nano.dit.state_dict().items() if not name.startswith("detail.")}
    parts = {"dit": old, "vae": nano.vae.state_dict(), "text": nano.text.state_dict()}
    save_checkpoint(
        tmp_path / "old.safetensors", replace(nano.config, dit=replace(nano.config.dit, detail_width=0)), parts
    )
    dit = DiT(nano.config.dit, nano.config.vae.compression)
    dit.initialise(draws)
    start_from(SimpleNamespace(module={"dit": dit}), "dit", tmp_path / "old.safetensors")
    assert all(torch.equal(value, old[name].half().float()) for name, value in dit.state_dict().items() if name in old)
    assert dit.detail.exit.weight.abs().max() == 0
    assert dit.detail.entry.weight.abs().max() > 0


def detail_task(sora, clips, folder):
    encode_store(sora.vae, ClipStore(clips), folder, say=lambda _: None)
    shards = [LatentShard.load(path) for path in sorted(folder.iterdir())]
    return DiTTask(sora.config, shards, sora.text, sora.vae, tokens=120, detail_only=True, compile=False)


def test_convolutions_over_cells_learn_alone(nano, clips, tmp_path):
    task = detail_task(nano, clips, tmp_path)
    for seed, parameter in enumerate(task.module.parameters()):
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(seed))
    loss, figures, _ = task.loss(0)
    loss.backward()
    learning = {name for name, parameter in task.module.named_parameters() if parameter.grad is not None}
    assert learning == {name for name in task.module.state_dict() if name.startswith("dit.detail.")}
    assert set(figures) == {"mse", "change"}


def test_a_model_without_convolutions_over_cells_has_nothing_to_train_alone(nano, clips, tmp_path):
    plain = SimpleNamespace(
        config=replace(nano.config, dit=replace(nano.config.dit, detail_width=0)), vae=nano.vae, text=nano.text
    )
    with pytest.raises(ValueError, match="the preset nano has no convolutions over cells to train alone"):
        detail_task(plain, clips, tmp_path)
