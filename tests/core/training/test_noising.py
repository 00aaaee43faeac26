"""Noise levels of training: how often which parts of a clip are given, and how the others are noised."""

import torch

from sora_core.training.noising import draw_levels

GRID = (5, 4, 6)


def test_clips_are_noised_in_all_ways_that_sampling_takes_and_as_often_as_is_said():
    draws, found = torch.Generator().manual_seed(0), {"one": 0, "given": 0, "rising": 0, "falling": 0, "each": 0}
    parts = {"beginning": 0, "end": 0, "box": 0}
    for _ in range(3000):
        levels = draw_levels(GRID, draws, lowest=0.5)
        given = levels == 0
        in_time = levels[:, 0, 0]
        assert levels.shape == GRID
        assert levels.max() <= 1
        if given.any():
            found["given"] += 1
            assert levels[~given].unique().numel() == 1
            parts["box"] += torch.equal(given, given[:1].expand(GRID))
            parts["beginning"] += bool(given[0].all() and not given[-1].any())
            parts["end"] += bool(given[-1].all() and not given[0].any())
        elif levels.unique().numel() == 1:
            found["one"] += 1
        else:
            assert torch.equal(levels, in_time[:, None, None].expand(GRID))
            steps = in_time.diff()
            found["rising" if (steps >= 0).all() else "falling" if (steps <= 0).all() else "each"] += 1
    shares = {kind: count / 3000 for kind, count in found.items()}
    expected = {"one": 0.45, "given": 0.30, "each": 0.15, "rising": 0.05, "falling": 0.05}
    assert all(abs(shares[kind] - share) < 0.03 for kind, share in expected.items()), shares
    assert all(parts.values()), parts


def test_pictures_are_noised_as_a_whole_but_for_a_box_of_some():
    draws, boxes = torch.Generator().manual_seed(0), 0
    for _ in range(1000):
        levels = draw_levels((1, 4, 6), draws, lowest=0.5)
        assert levels[levels > 0].unique().numel() == 1
        boxes += bool((levels == 0).any())
    assert 0.05 < boxes / 1000 < 0.15
