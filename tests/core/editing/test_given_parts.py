"""Whatever is given to an edit comes back unchanged, in the place that the recipe says."""

import pytest
import torch

from sora_core.diffusion.conditioning import Known
from sora_core.editing import recipes
from sora_core.editing.extend import extend, extend_latent
from sora_core.editing.place import held, merge, place
from sora_core.editing.regenerate import Sampling, regenerate
from sora_core.shapes import VideoShape

SHAPE = VideoShape(num_frames=17, height=32, width=32)


def test_an_animated_image_is_the_first_latent_exactly(sora, few, make_clip):
    image = make_clip(1)
    latent = recipes.animate(sora, image, "a red ball", SHAPE, 3, sampling=few)
    assert latent.shape == (1, 16, 5, 4, 4)
    assert torch.equal(latent[:, :, :1], sora.vae.encode(image))


def test_odd_sizes_are_padded_and_the_image_still_kept(sora, few, make_clip):
    shape = VideoShape(num_frames=7, height=27, width=41)
    latent = recipes.animate(sora, make_clip(1, 0, 27, 41), "a red ball", shape, 3, sampling=few)
    assert latent.shape[2:] == (3, 4, 6)
    frames = torch.cat(list(sora.decode(latent, shape)), dim=1)
    assert frames.shape == (3, 7, 27, 41)


def test_first_and_last_keyframes_are_both_kept(sora, few, make_clip, geometry):
    images = make_clip(1, 1), make_clip(1, 2)
    latent = recipes.keyframes(sora, [(0, images[0]), (-0.01, images[1])], "a ball", SHAPE, 3, sampling=few)
    for at, image in ((0, images[0]), (16, images[1])):
        known = place(geometry, sora.vae.encode, image, at, 17)
        given = known.mask.expand_as(known.clean) == 0
        assert given.any()
        assert torch.equal(latent[given], known.clean[given])


def test_an_image_in_the_middle_is_given_for_one_latent_frame(sora, geometry, make_clip):
    known = place(geometry, sora.vae.encode, make_clip(1), 7, 17)
    assert known.mask[0, 0, :, 0, 0].tolist() == [1, 1, 0, 1, 1]


def test_a_region_of_another_size_gets_one_sentence(sora, geometry, make_clip):
    with pytest.raises(ValueError, match=r"the region is \(1, 16, 32\); that of this clip is b h w with 32 x 32"):
        place(geometry, sora.encode, make_clip(1), 0, 5, region=torch.ones(1, 16, 32))


def test_a_region_limits_what_is_given_in_space(sora, geometry, make_clip):
    region = torch.zeros(1, 32, 32)
    region[:, :, :16] = 1
    for given in (region, region.bool()):
        known = place(geometry, sora.vae.encode, make_clip(1), 0, 5, region=given)
        assert known.mask[0, 0, 0].tolist() == [[0, 0, 1, 1]] * 4


def test_a_region_of_a_video_is_that_of_its_pixels(sora, few, make_clip):
    shape, image = VideoShape(num_frames=1, height=27, width=41), make_clip(1, 0, 27, 41)
    everywhere = torch.ones(1, 27, 41, dtype=torch.bool)
    found = recipes.keyframes(sora, [(0, image)], "a ball", shape, 3, region=everywhere, sampling=few)
    assert torch.equal(found, recipes.animate(sora, image, "a ball", shape, 3, sampling=few))
    with pytest.raises(ValueError, match=r"the region is \(1, 41, 27\); that of this video is b h w with 27 x 41"):
        recipes.keyframes(sora, [(0, image)], "a ball", shape, 3, region=everywhere.mT, sampling=few)


def test_less_strength_lets_the_keyframe_change(sora, geometry, exact, make_clip):
    distances = []
    for strength in (1.0, 0.7, 0.0):
        known = place(geometry, sora.vae.encode, make_clip(1), 0, 9, strength=strength)
        latent = regenerate(sora, known, exact, 8, 0, Sampling(steps=8, guidance=1))
        distances.append(float((latent - known.clean)[:, :, 0].square().mean()))
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2]


def test_later_frames_win_where_both_are_given():
    first = Known(torch.zeros(1, 2, 3, 2, 2), torch.zeros(1, 1, 3, 2, 2))
    second = Known(torch.ones(1, 2, 3, 2, 2), torch.ones(1, 1, 3, 2, 2))
    second.mask[:, :, 1] = 0.5
    both = merge(first, second)
    assert both.clean[0, 0, :, 0, 0].tolist() == [0, 1, 0]
    assert both.mask[0, 0, :, 0, 0].tolist() == [0, 0.5, 0]
    with pytest.raises(ValueError, match="given together must have one size and duration"):
        merge(first, Known(torch.ones(1, 2, 1, 2, 2), torch.ones(1, 1, 1, 2, 2)))


def test_a_continued_latent_is_handed_over_bit_for_bit(sora, few, make_clip):
    latent = recipes.encode(sora, make_clip(9))
    result, edit = recipes.extend_video(
        sora, make_clip(9), "a ball", 8, 0, after=1, latent=latent, sampling=few
    )  # fmt: skip
    assert torch.equal(result[:, :, :3], latent)
    assert result.shape[2] == 5
    assert edit.num_frames == 17
    assert edit.kept == range(9)


def test_a_continuation_sees_exactly_the_last_frames(sora, geometry, make_clip):
    video = make_clip(16)
    edit = extend(geometry, sora.vae.encode, video, after=4, context=7)
    assert edit.source == 11
    assert edit.kept == range(5)
    assert torch.equal(edit.known.clean[:, :, :2], sora.vae.encode(video[:, :, 11:]))
    assert edit.known.mask[0, 0, :, 0, 0].tolist() == [0, 0, 1]


def test_a_context_shorter_than_a_frame_is_not_the_whole_video(sora, few, make_clip):
    _, edit = recipes.extend_video(sora, make_clip(9), "a ball", 8, 0, after=1, context=0.05, sampling=few)
    assert (edit.source, edit.kept, edit.num_frames) == (8, range(1), 9)


@pytest.mark.parametrize("length", [4, 9, 10, 16])
def test_a_beginning_is_added_before_all_frames_of_the_clip(sora, geometry, few, make_clip, length):
    video = make_clip(length)
    latent, edit = recipes.extend_video(sora, video, "a ball", 8, 0, before=1, sampling=few)
    assert edit.kept == range(9, 9 + length)
    assert edit.num_frames == 9 + length
    assert edit.known.mask[0, 0, :, 0, 0].tolist() == [1] * 3 + [0] * (latent.shape[2] - 3)
    assert torch.equal(latent[:, :, 3:], edit.known.clean[:, :, 3:])


def test_four_beginnings_share_one_ending_and_differ(sora, few, make_clip):
    latents = [
        recipes.extend_video(sora, make_clip(9), "a ball", 8, seed, before=1, sampling=few)[0] for seed in range(4)
    ]
    for i, latent in enumerate(latents):
        assert all(torch.equal(latent[:, :, 3:], other[:, :, 3:]) for other in latents)
        assert all((latent - other)[:, :, :3].abs().mean() > 0.1 for other in latents[:i])


def test_both_sides_keep_the_whole_cells_of_the_middle(sora, geometry, make_clip):
    edit = extend(geometry, sora.vae.encode, make_clip(9), before=3, after=6)
    assert edit.kept == range(5, 13)
    assert edit.known.mask[0, 0, :, 0, 0].tolist() == [1, 1, 0, 0, 1, 1]


def test_what_cannot_be_extended_gets_one_sentence(sora, geometry, make_clip):
    video = make_clip(9)
    with pytest.raises(ValueError, match="context is 12 frames but the video has 9"):
        extend(geometry, sora.vae.encode, video, after=4, context=12)
    with pytest.raises(ValueError, match="add at least 1"):
        extend(geometry, sora.vae.encode, video)
    with pytest.raises(ValueError, match="continued on both sides is all context; set the context to 0"):
        extend(geometry, sora.vae.encode, video, before=4, after=4, context=5)
    with pytest.raises(ValueError, match="use the VAE that belongs"):
        extend_latent(geometry, torch.zeros(1, 4, 3, 4, 4), 4)
    with pytest.raises(ValueError, match="the latent holds 9 frames but its video has 13"):
        extend_latent(geometry, torch.zeros(1, 16, 3, 4, 4), 4, 13)


def test_keyframes_beyond_the_end_or_of_another_size_get_one_sentence(sora, geometry, make_clip):
    with pytest.raises(ValueError, match="outside the video"):
        recipes.keyframes(sora, [(3.0, make_clip(1))], "", SHAPE, 0)
    with pytest.raises(ValueError, match="does not fit in a video of 17 frames; it has to start at frame 8 or before"):
        place(geometry, sora.vae.encode, make_clip(9), 12, 17)
    with pytest.raises(ValueError, match="the frames are 48x32 but the video is 32x32"):
        recipes.animate(sora, make_clip(1, 0, 32, 48), "", SHAPE, 0)


def test_a_clip_that_is_the_whole_video_is_not_copied():
    clip = torch.rand(1, 3, 5, 2, 2, generator=torch.Generator().manual_seed(0))
    assert held(clip, 0, 5) is clip
    assert torch.equal(held(clip, 0, 7), clip[:, :, [0, 1, 2, 3, 4, 4, 4]])
    assert torch.equal(held(clip, 1, 5), clip[:, :, [0, 0, 1, 2, 3]])
