"""Loops: no frame is the first, for Sora by circular positions and for any model by rolling."""

import pytest
import torch

from sora_core.diffusion.samplers import euler
from sora_core.diffusion.schedules import schedule
from sora_core.editing import recipes
from sora_core.editing.loop import check_loop, loop_frames, roll_conditions, rolled, step_of, wrapped
from sora_core.shapes import VideoShape


def test_rolling_the_noise_rolls_the_video(sora, few):
    noise = torch.randn(1, 16, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    shape = VideoShape(num_frames=24, height=32, width=32)
    loops = [recipes.loop(sora, "a ball", shape, 0, noise=noise.roll(k, 2), sampling=few) for k in (0, 2)]
    assert loops[0].std() > 0.01
    assert (loops[0].roll(2, 2) - loops[1]).abs().max() < 1e-4
    videos = [sora.vae.decode_circular(latent) for latent in loops]
    assert videos[0].shape[2] == 24
    assert (videos[0].roll(8, 2) - videos[1]).abs().max() < 1e-4


def test_a_loop_of_one_latent_frame_gets_one_sentence(sora):
    with pytest.raises(ValueError, match="a loop of one latent frame is a still image"):
        recipes.loop(sora, "a ball", VideoShape(num_frames=4, height=32, width=32), 0)


def test_a_model_without_memory_of_place_is_not_changed_by_rolling():
    """A denoiser that treats all frames alike gives the same video rolled or not."""
    model = lambda x, sigma: (x.roll(1, 2) + x.roll(-1, 2)) / 4  # noqa: E731
    sigmas = schedule(5, 64)
    x = torch.randn(1, 2, 6, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(euler(rolled(model, sigmas), x, sigmas), euler(model, x, sigmas), atol=1e-6)


def test_rolling_removes_the_seam_of_a_model_with_ends():
    """A smoother that does not know that the last frame meets the first leaves a jump there; rolled, it leaves none."""

    def model(x, sigma):
        padded = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
        return (padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]) / 3

    sigmas = schedule(24, 64)
    x = torch.randn(1, 512, 12, 2, 2, generator=torch.Generator().manual_seed(0))

    def seam(latent):
        steps = (latent.roll(-1, 2) - latent).square().mean((0, 1, 3, 4)).sqrt()
        return float(steps[-1] / steps[:-1].median())

    assert seam(euler(model, x, sigmas)) > 1.5
    assert seam(euler(rolled(model, sigmas), x, sigmas)) < 1.1


def test_conditions_roll_only_where_they_run_along_time():
    conditions = {"concat": torch.arange(6.0).reshape(1, 1, 3, 1, 2), "text": torch.rand(1, 3, 8), "list": [{"a": 1}]}
    rolled_conditions = roll_conditions(conditions, 3, -1)
    assert rolled_conditions["concat"].flatten().tolist() == [2, 3, 4, 5, 0, 1]
    assert rolled_conditions["text"] is conditions["text"]
    assert rolled_conditions["list"] == [{"a": 1}]
    assert conditions["concat"].flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_the_wrapped_latent_and_its_frames(geometry):
    latent = torch.arange(4.0).reshape(1, 1, 4, 1, 1)
    assert wrapped(latent).flatten().tolist() == [2, 3, 0, 1, 2, 3, 0]
    assert loop_frames(geometry, 4) == slice(5, 21)
    with pytest.raises(ValueError, match="still image"):
        check_loop(1)


def test_the_step_of_a_noise_level_is_the_nearest():
    sigmas = torch.tensor([1.0, 0.6, 0.2, 0.0])
    assert [step_of(s, sigmas) for s in (1.0, 0.61, 0.2, 0.05)] == [0, 1, 2, 3]
