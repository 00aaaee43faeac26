"""The Haar front: orthonormal, lossless, mean first."""

import pytest
import torch

from sora_core.vae.layers import fold_cell, unfold_cell
from sora_core.vae.wavelet import block_matrix, fold, haar_matrix, unfold


@pytest.mark.parametrize("size", [1, 2, 4, 16])
def test_the_basis_is_orthonormal_and_begins_with_the_mean(size):
    basis = haar_matrix(size)
    assert torch.allclose(basis @ basis.T, torch.eye(size, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(basis[0], torch.full((size,), size**-0.5, dtype=torch.float64))


@pytest.mark.parametrize("block", [(2, 4, 4), (1, 2, 2), (4, 16, 16)])
def test_folding_loses_nothing_and_keeps_the_energy(block, draws):
    video = torch.randn(2, 3, 4 * block[0], 2 * block[1], 3 * block[2], generator=draws)
    matrix = block_matrix(block)
    folded = fold(video, block, matrix)
    assert folded.shape == (2, 3 * block[0] * block[1] * block[2], 4, 2, 3)
    assert (unfold(folded, block, matrix) - video).abs().max() < 1e-4
    assert torch.allclose(folded.square().sum(), video.square().sum(), rtol=1e-4)


def test_cells_fold_and_unfold_exactly(draws):
    x = torch.randn(2, 5, 4, 6, 8, generator=draws)
    assert fold_cell(x).shape == (2, 40, 2, 3, 4)
    assert torch.equal(unfold_cell(fold_cell(x)), x)
