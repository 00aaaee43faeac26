"""Training goes on from a model file."""

from dataclasses import replace
from types import SimpleNamespace

import torch

from sora_core.checkpoint import save_checkpoint
from sora_core.cli.train import start_from
from sora_core.dit import DiT


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
