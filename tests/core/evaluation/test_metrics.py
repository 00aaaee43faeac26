"""Metrics grow with what they measure: error, flicker, roughness."""

from __future__ import annotations

import math

import pytest
import torch

from sora_core.evaluation.metrics import flicker, psnr, roughness, ssim


@pytest.fixture
def clip(draws) -> torch.Tensor:
    ramp = torch.linspace(0.2, 0.8, 32).expand(3, 5, 32, 32)
    return ramp + 0.05 * torch.rand((3, 5, 32, 32), generator=draws)


def test_psnr_is_that_of_the_mean_squared_error(clip):
    assert math.isclose(psnr(clip + 0.1, clip), 20.0, abs_tol=1e-3)
    assert psnr(clip, clip) > 100


def test_ssim_falls_with_noise(clip, draws):
    noise = torch.randn(clip.shape, generator=draws)
    values = [ssim(clip + size * noise, clip) for size in (0.0, 0.05, 0.2)]
    assert math.isclose(values[0], 1.0, abs_tol=1e-4)
    assert values[0] > values[1] > values[2]


def test_flicker_tells_standing_errors_from_new_ones(clip, draws):
    error = torch.randn(clip.shape, generator=draws)
    assert flicker(clip + error[:, :1], clip) < 1e-5
    assert math.isclose(flicker(clip + error, clip), 2**0.5, abs_tol=0.05)
    assert flicker(clip, clip) == flicker(clip[:, :1] + 0.1, clip[:, :1]) == 0


def test_noise_is_rougher_than_pictures(clip, draws):
    assert roughness(torch.rand(clip.shape, generator=draws)) > 5 * roughness(clip)
