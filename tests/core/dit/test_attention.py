"""Attention in packed rows: each sequence sees only itself, forwards and backwards."""

import pytest
import torch
import torch.nn.functional as F

from sora_core.dit.attention import attend
from sora_core.dit.packed import packed_attention
from sora_core.patches import Segments


def separate(q, k, v, lengths):
    """Each sequence on its own, the plain way."""
    parts = zip(*(x.split(lengths) for x in (q, k, v)), strict=True)
    rows = [F.scaled_dot_product_attention(*(x.transpose(0, 1)[None] for x in part))[0] for part in parts]
    return torch.cat([row.transpose(0, 1) for row in rows])


@pytest.mark.parametrize("lengths", [(7,), (5, 5, 5), (3, 11, 11, 2), (1, 1, 8)])
def test_a_row_equals_its_sequences_and_so_do_the_gradients(lengths, draws):
    q, k, v = (torch.randn(sum(lengths), 2, 64, generator=draws).requires_grad_() for _ in range(3))
    weight = torch.randn(sum(lengths), 2, 64, generator=draws)
    expected, found = separate(q, k, v, list(lengths)), attend(q, k, v, Segments(lengths))
    assert (found - expected).abs().max() < 1e-5
    for a, b in zip(
        torch.autograd.grad((expected * weight).sum(), (q, k, v)),
        torch.autograd.grad((found * weight).sum(), (q, k, v)),
        strict=True,
    ):
        assert (a - b).abs().max() < 1e-5


def test_the_operation_passes_the_checks_of_custom_operations(draws):
    q, k, v = (torch.randn(9, 2, 64, generator=draws).requires_grad_() for _ in range(3))
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(packed_attention, (q, k, v, torch.tensor([2, 7])), test_utils=tests)


def test_a_sequence_does_not_see_its_neighbours(draws):
    q, k, v = (torch.randn(10, 2, 64, generator=draws) for _ in range(3))
    before = attend(q, k, v, Segments((4, 6)))
    v[4:] += 100
    k[4:] *= -3
    after = attend(q, k, v, Segments((4, 6)))
    assert torch.equal(before[:4], after[:4])
    assert not torch.allclose(before[4:], after[4:])
