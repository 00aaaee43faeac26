"""Samplers on a Gaussian, where the best denoiser and the exact solution are known."""

import math

import pytest
import torch

from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.schedules import schedule

MEAN, SPREAD = 0.7, 0.3
START = 0.98
"""Below 1, where the straight path's signal-to-noise ratio is finite at every level."""


def denoiser(x, sigma):
    """The exact posterior mean of data from N(MEAN, SPREAD^2) seen through the straight path."""
    s = sigma.reshape(-1, 1, 1, 1, 1).double()
    alpha = 1 - s
    variance = (alpha * SPREAD) ** 2 + s**2
    return MEAN + alpha * SPREAD**2 / variance * (x - alpha * MEAN)


def exact(x, start, end):
    """The flow's exact map: the standardised value stays as it is."""

    def moments(s):
        return (1 - s) * MEAN, math.hypot((1 - s) * SPREAD, s)

    (mean, spread), (mean_end, spread_end) = moments(start), moments(end)
    return mean_end + spread_end * (x - mean) / spread


def error(sampler, steps):
    sigmas = torch.linspace(START, 0.1, steps + 1, dtype=torch.float64)
    mean, spread = (1 - START) * MEAN, math.hypot((1 - START) * SPREAD, START)
    x = mean + spread * torch.linspace(-2, 2, 5, dtype=torch.float64).reshape(1, 5, 1, 1, 1)
    return float((SAMPLERS[sampler](denoiser, x, sigmas) - exact(x, START, 0.1)).abs().max())


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_halving_the_steps_costs_what_the_order_says(sampler, order):
    coarse, fine = error(sampler, 64), error(sampler, 128)
    assert fine < 0.02
    assert order - 0.35 < math.log2(coarse / fine) < order + 0.6


def test_second_order_samplers_beat_euler():
    euler = error("euler", 32)
    assert error("heun", 32) < euler / 4
    assert error("dpmpp_2m", 32) < euler / 4


class WithoutDouble(torch.Tensor):
    """Numbers on a card that has none in double precision, such as Apple's."""

    def double(self):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_schedules_may_be_on_a_card_without_double_precision(sampler, draws):
    noise, sigmas = torch.randn(1, 1, 1, 2, 2, generator=draws), schedule(4, 64)

    def half(x, sigma):
        return x / 2

    found = SAMPLERS[sampler](half, noise, sigmas.as_subclass(WithoutDouble))
    assert torch.equal(found, SAMPLERS[sampler](half, noise, sigmas))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_perfectly_known_video_is_reached_whatever_the_steps(sampler, draws):
    clean = torch.randn(2, 4, 3, 2, 2, generator=draws)
    noise = torch.randn(clean.shape, generator=draws)
    for steps in (1, 2, 7):
        found = SAMPLERS[sampler](lambda x, sigma: clean, noise, schedule(steps, 64))
        assert (found - clean).abs().max() < 1e-5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_callback_sees_every_step_and_can_stop(sampler, draws):
    noise, sigmas, seen = torch.randn(1, 1, 1, 2, 2, generator=draws), schedule(5, 64), []
    SAMPLERS[sampler](denoiser, noise.double(), sigmas, seen.append)
    assert [event["step"] for event in seen] == [0, 1, 2, 3, 4]
    assert [event["sigma"] for event in seen] == pytest.approx(sigmas[:-1].tolist())
    assert all(event["steps"] == 5 and event["denoised"].shape == noise.shape for event in seen)
    assert torch.equal(seen[0]["x"], noise.double())

    def stop(event):
        if event["step"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SAMPLERS[sampler](denoiser, noise.double(), sigmas, stop)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_are_deterministic_and_leave_their_input_alone(sampler, draws):
    noise = torch.randn(1, 1, 2, 2, 2, generator=draws).double()
    kept = noise.clone()
    first, second = (SAMPLERS[sampler](denoiser, noise, schedule(6, 64)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(noise, kept)
