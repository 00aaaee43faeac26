"""Training the transformer on whatever a folder holds."""

import torch

from sora_core.data.latents import LatentShard
from sora_core.training.dit import DiTTask


def test_pictures_alone_can_be_trained_on(nano):
    draws = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 2, 16, 1, 4, 4, generator=draws).half()
    shard = LatentShard(clips, clips[:, :, None], torch.zeros(2, 9, dtype=torch.uint8), fps=8.0, periodic=False)
    task = DiTTask(nano.config, [shard], nano.text, nano.vae, tokens=128, compile=False)
    assert all(torch.isfinite(task.loss(step)[0]) for step in range(3))
