"""Schedules and the straight path: ends, order, shift and weights."""

import pytest
import torch

from sora_core.diffusion.process import (
    COARSE,
    COARSE_SHARE,
    FINE_SHARE,
    LOWEST_SIGMA,
    WEIGHT_FROM,
    add_noise,
    draw_sigma,
    loss_weight,
    shift,
    shift_for_tokens,
    to_velocity,
)
from sora_core.diffusion.schedules import schedule


@pytest.mark.parametrize("steps", [1, 2, 5, 50])
@pytest.mark.parametrize("tokens", [1, 64, 1280, 100_000])
def test_levels_fall_from_one_to_the_lowest_and_then_zero(steps, tokens):
    sigmas = schedule(steps, tokens)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    if steps > 1:
        assert sigmas[-2] == pytest.approx(LOWEST_SIGMA, abs=1e-6)


def test_a_model_may_end_earlier_but_never_above_half_of_the_start():
    assert schedule(8, 320, lowest=0.5)[-2] == pytest.approx(0.5, abs=1e-6)
    assert schedule(8, 320, start=0.6, lowest=0.5)[-2] == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("start", [0.01, 0.05, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("tokens", [64, 4096])
def test_an_edit_begins_exactly_at_its_strength(start, tokens):
    sigmas = schedule(8, tokens, start=start)
    assert sigmas[0] == pytest.approx(start, abs=1e-6)
    assert (sigmas.diff() < 0).all()


def test_larger_grids_spend_more_steps_at_high_noise():
    small, large = schedule(20, 64), schedule(20, 4096)
    assert (large[1:-2] > small[1:-2]).all()
    assert torch.equal(schedule(20, 4096, shift_factor=shift_for_tokens(64)), small)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"steps": 0}, "steps is 0; sampling needs at least 1"),
        ({"start": 0.0}, "start is 0.0; it must be above 0 and at most 1"),
        ({"start": float("nan")}, "start is nan"),
        ({"start": 1.5}, "start is 1.5"),
        ({"lowest": 0.0}, "lowest is 0.0; it must be above 0 and below 1"),
        ({"shift_factor": 0.0}, "shift is 0.0; it must be above 0"),
        ({"shift_factor": float("nan")}, "shift is nan"),
    ],
)
def test_impossible_schedules_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        schedule(**{"steps": 4, "tokens": 64, **arguments})


def test_shift_keeps_the_ends_and_the_order():
    sigma = torch.linspace(0, 1, 101)
    for factor in (0.5, 1.0, 3.0):
        moved = shift(sigma, factor)
        assert moved[0] == 0
        assert moved[-1] == pytest.approx(1)
        assert (moved.diff() > 0).all()
    assert torch.allclose(shift(shift(sigma, 3.0), 1 / 3.0), sigma, atol=1e-6)
    assert shift_for_tokens(320) > shift_for_tokens(80) > shift_for_tokens(64) == shift_for_tokens(1) > 1
    assert shift_for_tokens(4096) == shift_for_tokens(100_000)


def test_the_velocity_of_a_clean_prediction_leads_from_it_to_the_noise(draws):
    clean, noise = torch.randn(2, 3, 4, 2, 2, 2, generator=draws)
    sigma = torch.tensor([0.3, 0.8, 1.0])
    noisy = add_noise(clean, noise, sigma)
    assert torch.allclose(to_velocity(noisy, clean, sigma), noise - clean, atol=1e-5)
    assert torch.equal(add_noise(clean, noise, torch.zeros(3)), clean)
    assert torch.equal(add_noise(clean, noise, torch.ones(3)), noise)


def test_each_cell_can_have_its_own_level(draws):
    clean, noise = torch.randn(2, 1, 4, 3, 2, 2, generator=draws)
    levels = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 3, 1, 1).expand(1, 1, 3, 2, 2)
    noisy = add_noise(clean, noise, levels)
    assert torch.equal(noisy[:, :, 0], clean[:, :, 0])
    assert torch.equal(noisy[:, :, 2], noise[:, :, 2])


def test_the_loss_weight_is_the_velocity_weight_capped_low():
    sigma = torch.tensor([0.01, WEIGHT_FROM, 0.8, 1.0])
    assert torch.allclose(loss_weight(sigma), torch.tensor([1 / WEIGHT_FROM**2, 1 / WEIGHT_FROM**2, 1.5625, 1.0]))


def test_training_levels_are_inside_the_path_and_higher_on_larger_grids(draws):
    for tokens in (64, 1280):
        levels = draw_sigma(20_000, tokens, draws)
        assert 0 < levels.min() <= levels.max() <= 1
        middle = float(shift(torch.tensor(0.5), shift_for_tokens(tokens)))
        coarse = COARSE_SHARE * max(0.0, middle - COARSE) / (1 - COARSE)
        below = FINE_SHARE + (1 - FINE_SHARE - COARSE_SHARE) / 2 + coarse
        assert float((levels < middle).float().mean()) == pytest.approx(below, abs=0.02)


def test_training_spends_a_share_in_the_lower_half_of_the_levels_that_sampling_visits(draws):
    below, inside = (draw_sigma(20_000, 1280, draws, lowest=lowest) for lowest in (0.05, 0.5))
    # Grids this large have hardly any other level there.
    assert float((below < 0.525).float().mean()) == pytest.approx(FINE_SHARE, abs=0.03)
    assert float((inside < 0.5).float().mean()) < 0.03
    assert float((inside < 0.75).float().mean()) == pytest.approx(FINE_SHARE + 0.04, abs=0.04)
