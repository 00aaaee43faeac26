"""A handful of random clips to train on."""

import pytest
import torch

from sora_core.data.store import write_shard
from sora_core.data.worlds.attributes import ATTRIBUTES


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A folder with two shards: wide clips and a shard of loops."""
    folder, draws = tmp_path_factory.mktemp("clips"), torch.Generator().manual_seed(3)
    for name, frames, periodic in (("a", 17, False), ("b", 16, True)):
        coarse = torch.randint(0, 256, (3, frames, 4, 6, 3), generator=draws, dtype=torch.uint8)
        pixels = coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)
        labels = torch.stack([torch.randint(len(v), (3,), generator=draws) for v in ATTRIBUTES.values()], dim=1)
        write_shard(folder / f"{name}.safetensors", pixels, labels.byte(), {"fps": 8.0, "periodic": periodic})
    return folder
