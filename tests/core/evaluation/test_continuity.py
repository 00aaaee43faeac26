"""Measures of how a clip goes on: what jumps is found where it jumps, and what is equal is equal."""

import pytest
import torch

from sora_core.evaluation.continuity import accelerations, around, at_borders, distance, jumps, structure


def moving(frames: int = 17) -> torch.Tensor:
    """A soft bar that moves evenly to the right, `3 t h w`."""
    x, t = torch.arange(32.0), torch.arange(frames).float()[:, None]
    bar = torch.exp(-((x - 4 - t) ** 2) / 8)
    return bar[None, :, None, :].expand(3, frames, 24, 32).clone()


def test_even_motion_has_equal_jumps_and_a_cut_is_the_largest():
    clip = moving()
    assert jumps(clip).std() < 0.05 * jumps(clip).mean()
    clip[:, 9:] = clip[:, 9:].flip(3)
    assert int(jumps(clip).argmax()) == 8
    assert accelerations(clip).topk(2).indices.sort().values.tolist() == [7, 8]


def test_a_jerk_is_found_at_its_border_only():
    clip = moving()
    assert at_borders(clip, [9], [5, 13]) == pytest.approx(1, abs=0.1)
    clip[:, 9:] = clip[:, 9:].roll(3, 3)
    assert at_borders(clip, [9], [5, 13]) > 3
    assert at_borders(clip, [5], [9]) < 0.4


def test_a_loop_closes_like_any_other_step_and_a_clip_does_not():
    t = torch.arange(16.0) / 16 * 2 * torch.pi
    pixels = torch.arange(64.0).reshape(8, 8) / 64 * 2 * torch.pi
    loop = (0.5 + 0.5 * torch.sin(t[:, None, None] + pixels))[None].expand(3, 16, 8, 8)
    jump, turn = around(loop)
    assert jump[-1] / jump[:-1].median() == pytest.approx(1, abs=0.01)
    assert turn[-1] / turn[:-1].median() == pytest.approx(1, abs=0.01)
    jump, turn = around(moving())
    assert jump[-1] > 2 * jump[:-1].median()
    assert turn[-1] > 2 * turn[:-1].median()


def test_rolling_a_loop_rolls_its_steps():
    clip = torch.rand(3, 12, 4, 4, generator=torch.Generator().manual_seed(0))
    for before, after in zip(around(clip), around(clip.roll(5, 1)), strict=True):
        assert torch.allclose(before.roll(5), after)


def test_structure_ignores_light_and_sees_shapes():
    clip = moving()
    assert structure(clip, clip) == pytest.approx(1, abs=1e-5)
    assert structure(0.3 + 0.5 * clip, clip) > 0.9
    assert structure(clip.flip(3), clip) < 0.9
    noise = torch.rand(clip.shape, generator=torch.Generator().manual_seed(0))
    levels = [structure(clip.lerp(noise, share), clip) for share in (0.0, 0.3, 0.6, 1.0)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] < 0.3


def test_distance_is_the_root_of_the_mean_square():
    assert distance(torch.zeros(2, 2), torch.full((2, 2), 0.5)) == 0.5
