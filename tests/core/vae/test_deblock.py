"""A video jumps no more where a latent frame begins than it moves around that; cuts and even motion stay."""

import pytest
import torch

from sora_core.vae.deblock import CUT, deblock, deblock_stream


def pulsing(frames: int, size: float) -> torch.Tensor:
    """A grey video that brightens by `size` whenever a latent frame of 4 begins, and stands still otherwise."""
    cell = (torch.arange(frames) + 3) // 4
    return (0.2 + size * cell.float()).view(1, 1, -1, 1, 1).expand(1, 3, -1, 2, 2).clone()


def steps(video: torch.Tensor) -> torch.Tensor:
    return video[0].diff(dim=1).square().mean((0, 2, 3)).sqrt()


def test_a_jump_in_what_stands_still_becomes_three_equal_steps():
    evened = steps(deblock(pulsing(13, 0.03), 4))
    assert evened[3:6].tolist() == pytest.approx([0.01] * 3, rel=1e-2)
    assert evened[7:10].tolist() == pytest.approx([0.01] * 3, rel=1e-2)
    assert evened[[2, 6, 10, 11]].max() < 1e-6


def test_the_first_frame_stays_and_the_second_meets_it_half_way():
    video = pulsing(5, 0.03)
    evened = deblock(video.clone(), 4)
    assert torch.equal(evened[:, :, 0], video[:, :, 0])
    assert steps(evened)[:2].tolist() == pytest.approx([0.015] * 2, rel=1e-2)


def test_the_step_at_a_border_becomes_that_around_it(draws):
    noise = 0.02 * torch.randn(1, 3, 13, 64, 64, generator=draws)
    noise[:, :, [5, 9]] *= 2
    evened = steps(deblock(0.5 + noise.cumsum(2), 4))
    assert evened[4] / evened[[3, 5]].mean() == pytest.approx(1, abs=0.02)
    assert steps(0.5 + noise.cumsum(2))[4] > 0.039


def test_even_motion_stays():
    video = torch.linspace(0.2, 0.7, 13).view(1, 1, -1, 1, 1).expand(1, 3, -1, 2, 2).clone()
    assert (deblock(video.clone(), 4) - video).abs().max() < 1e-4
    assert (deblock(video.clone(), 4, given=[True, True, False, True]) - video).abs().max() < 1e-4


def test_a_cut_stays():
    video = pulsing(9, 0.0)
    video[:, :, 5:] += 0.7
    assert (deblock(video.clone(), 4) - video).abs().max() < 0.01
    assert (deblock(video.clone(), 4, given=[True, True, False]) - video).abs().max() < 0.02
    assert CUT < 0.7


def test_an_edge_that_moves_is_moved_less_than_half_as_far_as_the_rest():
    video = pulsing(9, 0.03).repeat(1, 1, 1, 8, 8)
    video[:, 1, :, 0, 0] = (torch.arange(9) >= 5).float()
    shares = (deblock(video.clone(), 4) - video)[0, :, 5] / (video[0, :, 4] - video[0, :, 5])
    assert shares[0, 1, 1] == pytest.approx(1 / 3, abs=0.01)
    assert 0 < shares[1, 0, 0] < 0.5 / 3


def test_each_video_of_a_batch_is_evened_on_its_own(draws):
    batch = torch.cat([pulsing(9, 0.03), torch.rand(1, 3, 9, 2, 2, generator=draws)])
    alone = torch.cat([deblock(video.clone(), 4) for video in batch.split(1)])
    assert torch.equal(deblock(batch.clone(), 4), alone)


def test_given_frames_stay_and_generated_ones_fade_towards_them_in_equal_steps():
    video = pulsing(17, 0.0)
    video[:, :, 9:] += 0.03
    given_first = deblock(video.clone(), 4, given=[True, True, True, False, False])
    given_last = deblock(video.clone(), 4, given=[False, False, False, True, True])
    assert torch.equal(given_first[:, :, :9], video[:, :, :9])
    assert torch.equal(given_last[:, :, 9:], video[:, :, 9:])
    assert steps(given_first)[8:11].tolist() == pytest.approx([0.006] * 3, rel=1e-2)
    assert steps(given_last)[4:9].tolist() == pytest.approx([0.006] * 5, rel=1e-2)


def test_the_only_frame_before_given_ones_meets_them_half_way_and_the_latent_frame_after_it_fades():
    video = pulsing(5, 0.03)
    assert torch.equal(deblock(video.clone(), 4, given=[False, True])[:, :, 1:], video[:, :, 1:])
    assert steps(deblock(video.clone(), 4, given=[False, True])).max() == pytest.approx(0.015, rel=1e-2)
    assert steps(deblock(video.clone(), 4, given=[True, False]))[:4].tolist() == pytest.approx([0.006] * 4, rel=1e-2)


@pytest.mark.parametrize("given", [True, False])
def test_what_is_given_whole_is_evened_like_what_is_generated_whole(given):
    assert torch.equal(deblock(pulsing(9, 0.03), 4, given=[given] * 3), deblock(pulsing(9, 0.03), 4))


def test_what_fades_stays_a_picture():
    video = pulsing(9, 0.0)
    video[:, :, :5], video[:, :, 5:] = 0.2, 0.0
    video[:, :, 7] = 1.0
    evened = deblock(video, 4, given=[True, True, False])
    assert 0 <= evened.min() < evened.max() <= 1


@pytest.mark.parametrize("given", [(), (True, True, False, False, True), (False, True, True, False, True)])
@pytest.mark.parametrize("parts", [[1, 4, 4, 8], [5, 12], [17], [1, 16], [9, 4, 4]])
@pytest.mark.parametrize("time", [1, 2, 4])
def test_parts_are_evened_like_the_whole(draws, parts, time, given):
    video = torch.rand(2, 3, 17, 4, 4, generator=draws).cumsum(2) / 17
    video[:, :, 5:] += 0.05
    given = given and [cell for cell in given for _ in range(4 // time)][-1 - 16 // time :]
    streamed = list(deblock_stream((part.clone() for part in video.split(parts, dim=2)), time, given=given))
    whole = deblock(video.clone(), time, given=given)
    assert (torch.cat(streamed, dim=2) - whole).abs().max() < 1e-6
    assert torch.equal(whole, video) == (time == 1)


def test_a_still_image_and_no_part_at_all():
    image = torch.rand(1, 3, 1, 4, 4)
    assert torch.equal(torch.cat(list(deblock_stream([image.clone()], 4)), dim=2), image)
    assert list(deblock_stream([], 4)) == []
