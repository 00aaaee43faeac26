"""Training the transformer on whatever a folder holds."""

import torch

from sora_core.data.latents import LatentShard
from sora_core.training import dit
from sora_core.training.dit import DiTTask


def test_pictures_alone_can_be_trained_on(nano):
    draws = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 2, 16, 1, 4, 4, generator=draws).half()
    shard = LatentShard(clips, clips[:, :, None], torch.zeros(2, 9, dtype=torch.uint8), fps=8.0, periodic=False)
    task = DiTTask(nano.config, [shard], nano.text, nano.vae, tokens=128, compile=False)
    assert all(torch.isfinite(task.loss(step)[0]) for step in range(3))


def test_the_reader_is_taught_on_no_more_than_memory_holds(nano, monkeypatch):
    clips = torch.zeros(2, 2, 16, 1, 4, 4)
    shard = LatentShard(clips, clips[:, :, None], torch.zeros(2, 9, dtype=torch.uint8), fps=8.0, periodic=False)
    task = DiTTask(nano.config, [shard], nano.text, nano.vae, tokens=128, compile=False)
    read = []

    def fit(batches):
        read.extend(states.shape for states, _, _ in batches)
        return 0.0

    monkeypatch.setattr(task.reader, "fit", fit)
    tokens, width = nano.config.dit.text_tokens, nano.config.dit.width
    task.fit_reader(batches=2)
    monkeypatch.setattr(dit, "FITTED_NUMBERS", 2 * 3 * tokens * width)
    task.fit_reader(batches=2)
    assert read == [(128, tokens, width)] * 2 + [(3, tokens, width)] * 2
