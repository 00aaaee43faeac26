"""The error of changes: nothing for what is wrong alike in every frame, everything for what jumps."""

import torch

from sora_core.training.dit import change_loss
from sora_core.training.rows import earlier_patches


def test_the_earlier_patch_is_at_the_same_place_and_a_loop_has_one_before_its_first():
    assert earlier_patches(6, 3, circular=False).tolist() == [0, 1, 0, 1, 2, 3]
    assert earlier_patches(6, 3, circular=True).tolist() == [4, 5, 0, 1, 2, 3]
    assert earlier_patches(4, 1, circular=False).tolist() == [0, 1, 2, 3]


def test_an_error_that_stays_is_no_change_and_one_that_jumps_is():
    earlier, sigma = earlier_patches(6, 3, circular=False), torch.full((6,), 0.5)
    stays = torch.tensor([[1.0], [2.0]] * 3)
    assert change_loss(stays, sigma, earlier) == 0
    jumps = torch.tensor([[1.0], [2.0], [-1.0], [2.0], [1.0], [2.0]])
    assert change_loss(jumps, sigma, earlier).item() == 4.0 * (4 + 4) / 4  # 1 / 0.5^2, two of four pairs


def test_given_frames_have_no_pairs_of_their_own_but_the_border_counts():
    earlier = earlier_patches(3, 3, circular=False)
    error = torch.tensor([[0.0], [0.0], [1.0]])
    assert change_loss(error, torch.tensor([0.0, 0.0, 1.0]), earlier).item() == 1.0
    assert change_loss(error[:1], torch.ones(1), earlier[:1]).item() == 0.0
