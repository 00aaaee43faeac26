"""The optimiser: orthogonal steps for matrices, Adam for the rest, one state for both."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sora_core.training.optimizer import build_optimizer, orthogonalise
from sora_core.training.precision import has_bfloat16


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape, draws):
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=draws)))
    assert 0.5 < values.min() <= values.max() < 1.5


def test_a_card_that_only_emulates_bfloat16_trains_in_float32(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    for generation, native in ((7, False), (8, True)):
        found = SimpleNamespace(major=generation)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, found=found: found)
        assert has_bfloat16(torch.device("cuda")) is native


def test_the_scale_of_a_gradient_does_not_matter(draws):
    matrix = torch.randn(8, 24, generator=draws)
    assert (orthogonalise(matrix) - orthogonalise(1000 * matrix)).abs().max() < 0.02


def test_matrices_go_to_muon_embeddings_and_vectors_to_adam():
    module = nn.ModuleDict({"hidden": nn.Linear(4, 4), "word_embed": nn.Embedding(3, 4), "shortcut": nn.Linear(4, 4)})
    optimizer = build_optimizer(module.named_parameters(), 0.1)
    muon = {id(p) for group in optimizer.param_groups if group["muon"] for p in group["params"]}
    assert muon == {id(module["hidden"].weight)}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(module.parameters()))


def test_a_matrix_and_its_bias_are_fitted(draws):
    layer, target = nn.Linear(6, 5), torch.randn(5, 6, generator=draws)
    optimizer = build_optimizer(layer.named_parameters(), 0.3)
    for _ in range(300):
        x = torch.randn(64, 6, generator=draws)
        loss = (layer(x) - x @ target.T - 2).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 0.98 * optimizer.param_groups[0]["lr"]
    assert loss.item() < 0.05
