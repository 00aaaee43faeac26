"""Guidance: off is free, the interval is kept, rescaling restores the spread."""

import pytest
import torch

from sora_core.diffusion.guidance import guide


class Model:
    """Answers with a fixed video and counts its calls."""

    def __init__(self, answer):
        self.answer, self.calls = answer, 0

    def __call__(self, x, sigma):
        self.calls += 1
        return self.answer


@pytest.fixture
def pair(draws):
    return Model(torch.randn(2, 3, 2, 4, 4, generator=draws)), Model(torch.randn(2, 3, 2, 4, 4, generator=draws))


def at(sigma):
    return torch.zeros(2, 3, 2, 4, 4), torch.full((2,), sigma)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_guidance_moves_away_from_the_unconditional_prediction(pair, scale):
    yes, no = pair
    found = guide(yes, no, scale)(*at(0.5))
    assert torch.allclose(found, no.answer + scale * (yes.answer - no.answer), atol=1e-5)


def test_a_scale_of_one_costs_one_evaluation(pair):
    yes, no = pair
    assert torch.equal(guide(yes, no, 1.0)(*at(0.5)), yes.answer)
    assert (yes.calls, no.calls) == (1, 0)


@pytest.mark.parametrize(("sigma", "guided"), [(0.1, False), (0.2, True), (0.5, True), (0.9, True), (0.95, False)])
def test_outside_its_interval_guidance_is_off(pair, sigma, guided):
    yes, no = pair
    found = guide(yes, no, 3.0, interval=(0.2, 0.9))(*(x.double() for x in at(sigma)))
    assert torch.equal(found, yes.answer) != guided
    assert no.calls == int(guided)


@pytest.mark.parametrize("interval", [(0.8, 0.3), (float("nan"), 1.0)])
def test_an_interval_that_holds_no_level_is_refused(pair, interval):
    with pytest.raises(ValueError, match=r"interval is \(.*\); the lower noise level comes first"):
        guide(*pair, 3.0, interval=interval)


def test_rescaling_restores_the_spread_of_each_sample(pair):
    yes, no = pair
    none, half, full = (guide(yes, no, 6.0, rescale=share)(*at(0.5)) for share in (0.0, 0.5, 1.0))
    dims = (1, 2, 3, 4)
    assert torch.allclose(full.std(dims), yes.answer.std(dims), rtol=1e-4)
    assert (none.std(dims) > half.std(dims)).all()
    assert (half.std(dims) > full.std(dims)).all()


def test_rescaling_leaves_alone_what_is_the_same_everywhere():
    flat = torch.full((2, 3, 2, 4, 4), 0.5)
    assert torch.equal(guide(Model(flat), Model(flat), 3.0, rescale=0.7)(*at(0.5)), flat)
