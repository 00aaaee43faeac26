"""Soft borders soften only long runs of given frames, and only on the side of new ones."""

import torch

from sora_core.editing.border import ramp


def along_time(values):
    return torch.tensor(values).float()[None, None, :, None, None].expand(1, 1, len(values), 2, 2)


def test_a_border_rises_towards_new_frames_only():
    soft = ramp(along_time([0, 0, 0, 0, 0, 1, 1]))[0, 0, :, 0, 0]
    assert torch.allclose(soft, torch.tensor([0, 0, 0, 1 / 3, 2 / 3, 1, 1]))


def test_a_mask_of_booleans_gets_the_same_border():
    mask = along_time([0, 0, 0, 0, 0, 1, 1])
    assert torch.equal(ramp(mask.bool()), ramp(mask))


def test_short_runs_stay_exactly_given():
    mask = along_time([0, 1, 1, 0, 0, 0, 1])
    assert torch.equal(ramp(mask), mask)


def test_nothing_new_means_nothing_soft():
    mask = along_time([0, 0, 0, 0, 0])
    assert torch.equal(ramp(mask), mask)


def test_both_sides_of_a_middle_are_soft():
    soft = ramp(along_time([1, 0, 0, 0, 0, 1]), frames=1)[0, 0, :, 0, 0]
    assert soft.tolist() == [1, 0.5, 0, 0, 0.5, 1]


def test_only_cells_that_are_new_beyond_the_border_adapt():
    """What a mask keeps in every frame stays, and given frames change less than those that change a little."""
    mask = along_time([0, 0, 0, 0, 0, 1, 1]).clone()
    mask[..., 0] = 0
    mask[..., 1, 1] *= 0.3
    soft = ramp(mask)
    assert torch.equal(soft[..., 0], mask[..., 0])
    assert torch.allclose(soft[0, 0, :, 1, 1], torch.tensor([0, 0, 0, 0.1, 0.2, 0.3, 0.3]))
    assert torch.allclose(soft[0, 0, :, 0, 1], torch.tensor([0, 0, 0, 1 / 3, 2 / 3, 1, 1]))
