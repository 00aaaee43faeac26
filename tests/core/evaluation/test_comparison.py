"""A video measured as it streams by has the figures of the whole clip, and odd videos have defined ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sora_core.evaluation.comparison import MOST_DB, MOST_STEPS, measure
from sora_core.evaluation.continuity import around, jumps
from sora_core.evaluation.metrics import flicker, psnr, ssim


@pytest.fixture
def pair(draws) -> tuple[Tensor, Tensor]:
    """A clip and a reference it is near to, `t h w 3`."""
    reference = torch.rand(11, 20, 24, 3, generator=draws)
    return (reference + 0.1 * torch.randn(reference.shape, generator=draws)).clamp(0, 1), reference


def whole(frames: Tensor) -> Tensor:
    """`t h w 3` as the `3 t h w` that the functions for whole clips take."""
    return frames.movedim(-1, 0)


def moving(frames: int) -> Tensor:
    """A soft bar that goes round a ring of 32 pixels, two a frame, `t h w 3`."""
    x, t = torch.arange(32.0), torch.arange(frames).float()[:, None]
    away = (x - 2 * t + 16) % 32 - 16
    return torch.exp(-away.square() / 8)[:, None, :, None].expand(-1, 16, -1, 3)


def test_likeness_is_that_of_whole_clips(pair):
    found = measure(pair[0].split(4), pair[1].split(4)).likeness
    clip, reference = map(whole, pair)
    assert found.psnr == pytest.approx(psnr(clip, reference), rel=1e-5)
    assert found.ssim == pytest.approx(ssim(clip, reference), rel=1e-5)
    assert found.flicker == pytest.approx(flicker(clip, reference), rel=1e-5)


def test_steps_are_those_of_whole_clips(pair):
    found = measure(pair[0].split(4))
    assert found.steps == pytest.approx(jumps(whole(pair[0])).tolist(), rel=1e-5)
    assert found.last_step == pytest.approx(float(around(whole(pair[0]))[0][-1]), rel=1e-5)


def test_chunks_change_nothing(pair):
    assert measure(pair[0].split(3), pair[1].split(5)) == measure([pair[0]], [pair[1]])


def test_whole_numbers_are_pixels_too(pair):
    levels = [(frames * 255).round().byte() for frames in pair]
    assert measure([levels[0]], [levels[1]]) == measure([levels[0] / 255], [levels[1] / 255])


def test_a_loop_closes_and_its_half_does_not():
    ring = measure([moving(16)])
    assert ring.jump == pytest.approx(1, abs=0.01)
    assert ring.closing == pytest.approx(1, abs=0.01)
    assert measure([moving(8)]).closing > 2


def test_a_cut_is_found_when_it_happens():
    frames = moving(16).clone()
    frames[10:] = frames[10:].flip(2)
    found = measure([frames])
    assert found.jump > 1.5
    assert found.jump_at == 10
    assert "at 1.25 s" in found.report(8)


def test_equal_videos_have_the_largest_psnr_there_is(pair):
    found = measure([pair[0]], [pair[0]])
    assert found.likeness.psnr == MOST_DB
    assert found.likeness.ssim == pytest.approx(1, abs=1e-4)
    assert found.likeness.flicker == 0
    assert "no difference" in found.report(8)


def test_a_still_video_has_no_steps(pair):
    found = measure([pair[0][:1].expand(5, -1, -1, -1)])
    assert (found.jump, found.closing) == (0, 0)
    assert found.report(8).endswith("nothing moves")


def test_a_cut_out_of_stillness_is_the_largest_jump_there_is(pair):
    found = measure([pair[0][[0, 0, 0, 0, 1, 1]]])
    assert (found.jump, found.jump_at, found.closing) == (MOST_STEPS, 4, MOST_STEPS)
    assert "most frames repeat" in found.report(8)


def test_one_frame_has_likeness_but_no_steps(pair):
    found = measure([pair[0][:1]], [pair[1][:1]])
    assert (found.num_frames, found.steps, found.jump, found.jump_at, found.closing) == (1, (), 0, 0, 0)
    assert found.likeness.psnr > 10
    assert found.likeness.flicker == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 7)])
def test_tiny_frames_are_measured(pair, size):
    clip, reference = (frames[:, : size[0], : size[1]] for frames in pair)
    assert -1 <= measure([clip], [reference]).likeness.ssim < 1


def test_another_size_is_refused_with_both(pair):
    with pytest.raises(ValueError, match=r"video is 24x20 and the reference 24x10; give both the same size"):
        measure([pair[0]], [pair[1][:, :10]])


def test_no_number_is_refused(pair):
    pair[0][7, 3, 3] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        measure([pair[0]], [pair[1]])


def test_no_frame_is_refused():
    with pytest.raises(ValueError, match="no frame"):
        measure([])


def test_nothing_is_kept_of_earlier_chunks():
    """Frames of a long video are let go: only those of the first chunk and of the last ones are alive at the end."""
    import weakref

    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()

    def chunks():
        for n in range(20):
            chunk = torch.full((2, 4, 4, 3), n / 20)
            alive.add(chunk)
            yield chunk
            assert len(alive) <= 4

    assert measure(chunks()).num_frames == 40


@pytest.mark.parametrize(("frames", "sentence"), [(4, "the video has fewer"), (6, "the reference has fewer")])
def test_videos_of_two_lengths_get_one_sentence(frames, sentence):
    with pytest.raises(ValueError, match=f"{sentence} frames than the .*; give both the same number"):
        measure([torch.zeros(frames, 8, 8, 3)], [torch.zeros(5, 8, 8, 3)])
