"""The compression network's training: crops that every member of the family can take."""

import pytest
import torch

from sora_core.config import VAEConfig, preset
from sora_core.data.store import ClipStore
from sora_core.training import vae as vae_training
from sora_core.training.vae import CROPS, VAETask, whole_crops


@pytest.mark.parametrize("name", ["nano", "mini", "B"])
def test_crops_are_the_usual_ones_where_these_are_whole_cells(name):
    assert whole_crops(preset(name).vae.compression) == list(CROPS)


def test_networks_with_cells_as_large_as_those_of_xl_can_be_trained(clips, monkeypatch):
    monkeypatch.setattr(vae_training, "PIXELS", 12_000)
    config = VAEConfig(
        wavelet=preset("XL").vae.wavelet, encoder_width=(8, 8), decoder_width=(8, 8), encoder_depth=(1, 1),
        decoder_depth=(1, 1),
    )  # fmt: skip
    task = VAETask(config, ClipStore(clips), compile=False, fresh=False)
    assert task.crops == [(1, 64, 64), (9, 64, 64), (9, 64, 96), (17, 64, 64)]
    assert all(torch.isfinite(task.loss(step)[0]) for step in range(len(task.crops)))
