"""A complete model so small that every test can run it: the nano preset with random weights."""

from pathlib import Path

import pytest
import torch
from torch import nn


def randomise(module: nn.Module, seed: int, gain: float = 1.0) -> nn.Module:
    """Gives every weight a random value, so that no branch of the network is silent."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=draws)
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.1 * noise)
            elif parameter.ndim < 2 or "table" in name:
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(gain * noise * parameter[0].numel() ** -0.5)
    return module.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def nano_config():
    from sora_core.config import preset

    return preset("nano")


@pytest.fixture(scope="session")
def nano_parts(nano_config):
    """The three networks by name, in float32."""
    from sora_core.checkpoint import build_parts

    return {part: randomise(module, seed) for seed, (part, module) in enumerate(build_parts(nano_config).items())}


@pytest.fixture(scope="session")
def nano_file(nano_config, nano_parts, tmp_path_factory) -> Path:
    """A model file of it."""
    from sora_core.checkpoint import save_checkpoint

    path = tmp_path_factory.mktemp("model") / "nano.safetensors"
    save_checkpoint(path, nano_config, {name: m.state_dict() for name, m in nano_parts.items()}, dtype=torch.float32)
    return path


@pytest.fixture(scope="session")
def nano(nano_file):
    """The loaded model."""
    from sora_core.pipeline import Sora

    return Sora.load(nano_file)


@pytest.fixture
def draws() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(7)
