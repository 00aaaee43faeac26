"""The nano model in memory, and random numbers that are the same in every run."""

import pytest
import torch


@pytest.fixture(scope="session")
def nano(nano_file):
    """The smallest model, loaded."""
    from sora_core.pipeline import Sora

    return Sora.load(nano_file)


@pytest.fixture
def draws() -> torch.Generator:
    """A generator with a fixed seed."""
    return torch.Generator().manual_seed(7)


@pytest.fixture
def store(tmp_path):
    """Two shards of two equal sandbox clips; the second is one that the judge is never trained on."""
    from sora_core.data.store import ClipStore, write_shard
    from sora_core.data.worlds.attributes import Attributes

    a = Attributes(subject="duck", colour="red", environment="sea", time="day", motion="left", camera="pan_right")
    labels = torch.tensor([a.indices()] * 2, dtype=torch.uint8)
    for index in (6, 7):
        frames = torch.full((2, 5, 64, 64, 3), 100 + index, dtype=torch.uint8)
        about = {"fps": 4.0, "world": "sandbox", "periodic": False, "seed": 0}
        write_shard(tmp_path / f"sandbox_{index:05d}_5x64x64.safetensors", frames, labels, about)
    return ClipStore(tmp_path)
