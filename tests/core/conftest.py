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
