"""SDEdit and its relatives: 0 changes nothing, 1 keeps nothing, and in between no picture is a blend of two."""

from dataclasses import replace

import pytest
import torch

from sora_core.diffusion.conditioning import Known
from sora_core.diffusion.samplers import euler
from sora_core.diffusion.schedules import schedule
from sora_core.editing import recipes
from sora_core.editing.flowedit import flowedit
from sora_core.editing.geometry import frame_at
from sora_core.editing.preview import enlarge
from sora_core.editing.regenerate import Sampling, regenerate, with_shares
from sora_core.editing.sdedit import released, strengths
from sora_core.shapes import VideoShape

SHAPE = VideoShape(num_frames=9, height=32, width=32)


@pytest.fixture(scope="module")
def latent(sora, make_clip):
    return recipes.encode(sora, make_clip(9))


def test_strength_zero_is_the_video_itself(sora, latent, few):
    assert torch.equal(recipes.edit_video(sora, latent, "snow", 8, 0, strength=0, sampling=few), latent)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_strength_one_is_text_to_video_bit_for_bit(sora, latent, few, sampler):
    edited = recipes.edit_video(sora, latent, "snow", 8, 5, strength=1, sampling=replace(few, sampler=sampler))
    generated = sora.sample(["snow"], SHAPE, [5], steps=few.steps, guidance=few.guidance, sampler=sampler)
    assert torch.equal(edited, generated)


def test_hard_masks_give_what_the_pipeline_gives(sora, latent, few):
    mask = torch.ones(1, 1, 3, 4, 4)
    mask[:, :, :2] = 0
    known = Known(latent, mask)
    ours = regenerate(sora, known, "snow", 8, 5, few)
    theirs = sora.sample(["snow"], SHAPE, [5], steps=3, known=known)
    assert torch.equal(ours[:, :, 2:], theirs[:, :, 2:])
    assert torch.equal(ours[:, :, :2], latent[:, :, :2])


def test_change_grows_with_strength(sora, latent, exact):
    plain = Sampling(steps=8, guidance=1)
    changes = [
        float((recipes.edit_video(sora, latent, exact, 8, 0, strength=s, sampling=plain) - latent).square().mean())
        for s in (0, 0.2, 0.5, 0.8, 1)
    ]
    assert changes == sorted(changes)
    assert len(set(changes)) == 5


def test_a_ramp_changes_later_frames_more(sora, latent, exact):
    plain = Sampling(steps=8, guidance=1)
    edited = recipes.edit_video(sora, latent, exact, 8, 0, strength=(0, 1), sampling=plain)
    change = (edited - latent).square().mean((0, 1, 3, 4))
    assert change[0] == 0
    assert 0 < change[1] < change[2]


def test_a_mask_leaves_everything_outside_untouched(sora, latent, few):
    region = torch.zeros(1, 32, 32)
    region[:, :, 20:] = 1
    edited = recipes.edit_video(sora, latent, "snow", 8, 0, strength=0.8, region=region, sampling=few)
    assert torch.equal(edited[..., :2], latent[..., :2])
    assert (edited - latent)[..., 2:].abs().min() > 0


def test_partly_given_cells_become_what_the_model_predicts():
    """With a perfect denoiser every cell of mask above 0 ends as its prediction, not as a mix with what was given."""
    target, clean = torch.full((1, 2, 3, 2, 2), 5.0), torch.zeros(1, 2, 3, 2, 2)
    mask = torch.tensor([0, 0.3, 1.0])[None, None, :, None, None].expand(1, 1, 3, 2, 2)
    model = with_shares(lambda x, sigma: target, Known(clean, mask), (1, 2, 2))
    final = euler(model, torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)), schedule(4, 64))
    assert final[0, 0, :, 0, 0].tolist() == [0, 5, 5]


def test_each_cell_is_released_at_its_own_strength():
    mask = torch.tensor([0.0, 0.4, 1.0])
    assert released(mask, 1.0).tolist() == [0, 0, 1]
    assert released(mask, 0.4).tolist() == [0, 1, 1]


def test_strengths_outside_0_to_1_get_one_sentence():
    with pytest.raises(ValueError, match=r"strength is 1.2; it must be between 0 \(unchanged\) and 1"):
        strengths(0.5, 1.2, 3)


def test_flowedit_between_equal_models_returns_the_source(sora, latent, few):
    same = replace(few, guidance=1.5)
    edited = recipes.flow_edit(sora, latent, "a ball", "a ball", 8, 0, sampling=same)
    assert torch.equal(edited, latent)


def test_flowedit_moves_the_source_by_what_the_prompts_differ_in():
    """For models that always predict their own constant, the whole difference is followed down to level 0."""
    source = torch.zeros(1, 1, 1, 2, 2)
    sigmas = torch.tensor([0.8, 0.4, 0.0])
    zero = lambda draw: torch.zeros_like(source)  # noqa: E731
    constant = lambda value: lambda x, sigma: torch.full_like(x, value)  # noqa: E731
    edited = flowedit(constant(1.0), constant(3.0), source, sigmas, zero)
    assert torch.allclose(edited, torch.full_like(edited, 2.0))
    alone = flowedit(constant(1.0), constant(3.0), source, sigmas, zero, until=0.5)
    assert torch.allclose(alone, torch.full_like(alone, 3.0))


def test_what_watches_flowedit_sees_the_latent_that_it_goes_on_from():
    source, seen = torch.zeros(1, 1, 1, 2, 2), []
    constant = lambda value: lambda x, sigma: torch.full_like(x, value)  # noqa: E731
    edited = flowedit(
        constant(1.0), constant(3.0), source, torch.tensor([0.8, 0.4, 0.2, 0.0]), lambda draw: torch.ones_like(source),
        until=0.5, callback=lambda report: seen.append(report["x"]),
    )  # fmt: skip
    assert [float(x.mean()) for x in seen] == pytest.approx([1.0, 2.2, 3.0])
    assert torch.equal(seen[-1], edited)


def test_flowedit_changes_something_between_different_prompts(sora, latent, few):
    edited = recipes.flow_edit(sora, latent, "a ball", "a cube in the snow", 8, 0, averages=2, sampling=few)
    assert edited.shape == latent.shape
    assert (edited - latent).abs().mean() > 1e-3
    with pytest.raises(ValueError, match="averages is 0"):
        recipes.flow_edit(sora, latent, "a", "b", 8, 0, averages=0, sampling=few)
    with pytest.raises(ValueError, match="guidance is nan; it must be a finite number, for instance 3"):
        recipes.flow_edit(sora, latent, "a", "b", 8, 0, source_guidance=float("nan"), sampling=few)


def test_a_preview_becomes_a_larger_video(sora, few, make_clip):
    final = recipes.finish_preview(sora, make_clip(9), "a ball", 64, 64, 8, 0, sampling=few)
    assert final.shape == (1, 16, 3, 8, 8)
    enlarged = recipes.finish_preview(sora, make_clip(9), "a ball", 64, 64, 8, 0, strength=0, sampling=few)
    assert torch.equal(enlarged, sora.vae.encode(enlarge(make_clip(9), 64, 64)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_previews_in_half_precision_are_enlarged_too(make_clip, dtype):
    video = make_clip(2).to(dtype)
    larger = enlarge(video, 64, 64)
    assert larger.dtype == dtype
    torch.testing.assert_close(larger.float(), enlarge(video.float(), 64, 64), atol=0.005, rtol=0)


@pytest.mark.parametrize("region", [(1, 16, 32), (1, 5, 32, 32), (32, 32), (2, 32, 32)])
def test_a_region_of_another_video_gets_one_sentence(sora, latent, few, region):
    with pytest.raises(ValueError, match=r"the region is \(.*; a video of 9 frames of 32x32 takes \(b, h, w\)"):
        recipes.edit_video(sora, latent, "snow", 8, 0, region=torch.ones(region), sampling=few)


def test_a_preview_of_another_shape_gets_one_sentence(make_clip):
    with pytest.raises(
        ValueError, match=r"the preview is 32x32 but the final video 64x128, of another shape; .* 64x64"
    ):
        enlarge(make_clip(1), 128, 64)


def test_rescaled_guidance_leaves_given_cells_alone(sora, make_clip):
    image, shape = make_clip(1), VideoShape(num_frames=9, height=32, width=32)
    given = sora.encode(image)
    sampling = Sampling(steps=3, rescale=0.7)
    found = recipes.keyframes(sora, [(0.0, image)], "a red ball", shape, 1, sampling=sampling)
    assert torch.equal(found[:, :, :1], given)
    with pytest.raises(ValueError, match="rescale is nan; it must be between 0"):
        recipes.keyframes(sora, [(0.0, image)], "", shape, 1, sampling=Sampling(steps=1, rescale=float("nan")))


def test_a_latent_is_continued_from_the_frames_that_its_video_has(sora, make_clip, few):
    video = make_clip(15)
    latent = recipes.encode(sora, video)
    _, edit = recipes.extend_video(sora, video, "", 8, 0, after=1.0, latent=latent, sampling=few)
    assert (edit.num_frames, edit.kept) == (23, range(13))
    with pytest.raises(ValueError, match="can only be extended forward"):
        recipes.extend_video(sora, video, "", 8, 0, after=1.0, context=1.0, latent=latent, sampling=few)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError, match="it must be a number of seconds"):
        frame_at(seconds, 9, 8.0)
