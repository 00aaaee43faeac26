"""Rotary positions: attention sees differences in seconds and cells, and loops see time modulo their length."""

import pytest
import torch

from sora_core.dit.rope import axis_pairs, rotate, rotations, whole_rows


def score(a, b, q, k, **options):
    """The attention logit of one query at `a` and one key at `b`."""
    cos, sin = rotations(torch.tensor([a, b], dtype=torch.float64), 64, **options)
    rotated = rotate(torch.stack([q, k])[:, None], *whole_rows(cos, sin))[:, 0]
    return float(rotated[0] @ rotated[1])


@pytest.fixture
def pair(draws):
    return torch.randn(2, 64, generator=draws)


@pytest.mark.parametrize("shift", [(3.5, 0, 0), (0, -4, 0), (0, 0, 9), (11.0, 2, -3)])
def test_only_differences_of_position_matter(pair, shift):
    a, b = (0.25, 1.0, -2.0), (1.75, -3.0, 4.0)
    moved = [tuple(x + s for x, s in zip(place, shift, strict=True)) for place in (a, b)]
    assert score(a, b, *pair) == pytest.approx(score(*moved, *pair), abs=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_axis_matters(pair, axis):
    a, b = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    b[axis] = 1.0
    assert abs(score(a, a, *pair) - score(a, b, *pair)) > 1e-2


@pytest.mark.parametrize("loop", [1.5, 2.0, 4.1])
def test_in_a_loop_time_counts_modulo_its_length(pair, loop):
    a, b = (0.25, 1.0, -2.0), (1.2, -3.0, 4.0)
    later = (b[0] + loop, *b[1:])
    assert score(a, b, *pair, loop_seconds=loop) == pytest.approx(score(a, later, *pair, loop_seconds=loop), abs=1e-4)
    assert abs(score(a, b, *pair) - score(a, later, *pair)) > 1e-3


def test_rotations_keep_lengths(draws):
    cos, sin = rotations(10 * torch.randn(20, 3, generator=draws), 64)
    x = torch.randn(20, 3, 64, generator=draws)
    assert torch.allclose(rotate(x, *whole_rows(cos, sin)).norm(dim=-1), x.norm(dim=-1), rtol=1e-5)


@pytest.mark.parametrize("head_dim", [64, 128])
def test_all_pairs_are_given_to_an_axis(head_dim):
    assert sum(axis_pairs(head_dim)) == head_dim // 2
    assert min(axis_pairs(head_dim)) == head_dim // 8
