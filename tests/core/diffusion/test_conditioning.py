"""Known frames: given cells come back unchanged, and the network is told how noisy each patch is."""

import pytest
import torch

from sora_core.diffusion.conditioning import Known, token_sigma, with_known
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.schedules import schedule


def first_frame_known(draws):
    mask = torch.ones(2, 1, 3, 4, 4)
    mask[:, :, 0] = 0
    return Known(torch.randn(2, 5, 3, 4, 4, generator=draws), mask)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_given_cells_come_back_unchanged_and_the_rest_does_not(sampler, draws):
    known = first_frame_known(draws)
    model = with_known(lambda x, sigma: 0.5 * x, known, (1, 2, 2))
    found = SAMPLERS[sampler](model, torch.randn(2, 5, 3, 4, 4, generator=draws), schedule(6, 12))
    assert torch.equal(found[:, :, 0], known.clean[:, :, 0])
    assert (found[:, :, 1:] - known.clean[:, :, 1:]).abs().max() > 0.1


def test_the_network_sees_given_cells_clean_and_at_level_zero(draws):
    known, seen = first_frame_known(draws), {}

    def network(x, sigma):
        seen.update(x=x, sigma=sigma)
        return x

    noisy = torch.randn(2, 5, 3, 4, 4, generator=draws)
    with_known(network, known, (1, 2, 2))(noisy, torch.tensor([0.8, 0.3]))
    assert torch.equal(seen["x"][:, :, 0], known.clean[:, :, 0])
    assert torch.equal(seen["x"][:, :, 1:], noisy[:, :, 1:])
    assert seen["sigma"].tolist() == [pytest.approx([0.0] * 4 + [s] * 8) for s in (0.8, 0.3)]


def test_a_partly_given_cell_is_exactly_at_its_share_of_the_noise(draws):
    clean, noise = torch.randn(2, 1, 2, 1, 2, 2, generator=draws)
    known, seen = Known(clean, torch.full((1, 1, 1, 2, 2), 0.4)), {}
    model = with_known(lambda x, sigma: seen.update(x=x, sigma=sigma) or x, known, (1, 2, 2))
    model(0.2 * clean + 0.8 * noise, torch.tensor([0.8]))
    assert torch.allclose(seen["x"], (1 - 0.32) * clean + 0.32 * noise, atol=1e-6)
    assert float(seen["sigma"]) == pytest.approx(0.32)


def test_a_mask_is_averaged_over_its_patch(monkeypatch):
    # PyTorch before 2.9 has no such operation for Apple's cards.
    monkeypatch.setattr("torch.nn.functional.avg_pool3d", lambda *_: pytest.fail("not implemented for MPS"))
    mask = torch.tensor([[1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]).reshape(1, 1, 1, 2, 4)
    assert token_sigma(torch.tensor([0.8]), mask, (1, 2, 2)).tolist() == [pytest.approx([0.8, 0.2])]


@pytest.mark.parametrize("shape", [(1, 1, 2, 4, 4), (1, 5, 3, 4, 4)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="it must be b 1 t h w"):
        Known(torch.zeros(1, 5, 3, 4, 4), torch.ones(shape))
