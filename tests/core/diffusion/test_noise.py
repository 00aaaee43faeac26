"""Noise: one seed is one video, whatever stands beside it or comes after it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sora_core.diffusion.noise import draw_noise
from sora_core.randomness import generator
from sora_core.shapes import LatentShape

SHAPE = LatentShape(channels=3, frames=4, height=5, width=6)


def test_a_sample_does_not_depend_on_its_batch():
    together = draw_noise(SHAPE, [5, 9, 5])
    assert together.shape == (3, 3, 4, 5, 6)
    assert torch.equal(together[0], together[2])
    assert torch.equal(draw_noise(SHAPE, [9])[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_a_longer_video_begins_with_the_noise_of_a_shorter_one():
    longer = LatentShape(channels=3, frames=9, height=5, width=6)
    assert torch.equal(draw_noise(longer, [1])[:, :, :4], draw_noise(SHAPE, [1]))


def test_noise_is_unit_gaussian_and_frames_are_independent():
    noise = draw_noise(LatentShape(channels=16, frames=2, height=64, width=64), [3])
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    assert abs(float((noise[:, :, 0] * noise[:, :, 1]).mean())) < 0.02


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(1)
    first = draw_noise(SHAPE, [7])
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(draw_noise(SHAPE, [7]), first)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_keys_name_independent_streams():
    draws = {tuple(torch.rand(3, generator=generator(*key)).tolist()) for key in ((1,), (1, "a"), (1, "b"), (2, "a"))}
    assert len(draws) == 4
    assert torch.equal(torch.rand(3, generator=generator(1, "a")), torch.rand(3, generator=generator(1, "a")))


def test_latent_frames_may_be_numbered_by_any_library():
    part = LatentShape(channels=3, frames=2, height=5, width=6)
    expected = draw_noise(SHAPE, [7])[:, :, 2:]
    for cells in (range(2, 4), torch.arange(2, 4), np.arange(2, 4)):
        assert torch.equal(draw_noise(part, [7], cells), expected)


@pytest.mark.parametrize("cells", [[2], range(5)])
def test_every_latent_frame_needs_its_number(cells):
    with pytest.raises(ValueError, match=f"{len(cells)} cells are numbered for 4 latent frames"):
        draw_noise(SHAPE, [1], cells)


def test_noise_is_the_same_in_a_process_with_other_threads():
    code = (
        f"import torch; torch.set_num_threads({torch.get_num_threads() + 1})\n"
        "from sora_core.diffusion.noise import draw_noise; from sora_core.shapes import LatentShape\n"
        "shape = LatentShape(channels=3, frames=4, height=5, width=6)\n"
        "print(draw_noise(shape, [11]).double().flatten().tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(draw_noise(SHAPE, [11]).double().flatten().tolist())
