"""The editing blocks on Sora nano: what is handed over, and one sentence for what cannot be."""

import sys

import pytest
import torch

from sora_core.diffusion.conditioning import Known
from sora_core.editing.regenerate import Sampling, regenerate
from sora_core.vae.chunks import surrounded


def test_a_latent_is_continued_bit_for_bit_and_remembers_its_size(run, nano, even_grid, sample):
    samples = sample(even_grid)
    given = {**even_grid, "samples": samples}
    longer, overlap, _ = run("SoraExtendVideo", vae=nano[2], video=given, seconds=1.0)
    assert torch.equal(longer["samples"][:, :, :5], samples)
    assert longer["sora_size"]["num_frames"] == 25
    assert overlap == 17 / 8
    again = sample(longer)
    assert (again[:, :, :5] - samples).abs().max() < 1e-5
    movie = run("SoraDecodeVideo", vae=nano[2], latent={**longer, "samples": again})[0]
    assert len(movie.get_components().images) == 25


def test_placing_changes_no_input(run, nano, even_grid):
    before = {key: value.clone() if hasattr(value, "clone") else dict(value) for key, value in even_grid.items()}
    run("SoraPlaceFrames", vae=nano[2], latent=even_grid, frames=torch.rand(1, 32, 32, 3))
    assert set(even_grid) == set(before)
    assert torch.equal(even_grid["samples"], before["samples"])
    assert even_grid["sora_size"] == before["sora_size"]


def test_placed_frames_are_not_resized_unless_there_is_a_video_already(run, nano, sample):
    (empty, _) = run("SoraNoiseGrid", vae=nano[2], width=54, height=118, seconds=2.0, aspect="width x height")
    assert empty["samples"].shape[-2:] == (18, 8)
    white = torch.ones(1, 118, 54, 3)
    (given,) = run("SoraPlaceFrames", vae=nano[2], latent=empty, frames=white)
    assert given["samples"].shape[-2:] == (16, 8)
    (made,) = run("SoraPlaceFrames", vae=nano[2], latent={**empty, "samples": sample(empty)}, frames=white)
    assert made["samples"].shape == empty["samples"].shape
    for latent in (given, made):
        latent = {**latent, "samples": sample(latent)}
        images = run("SoraDecodeVideo", vae=nano[2], latent=latent)[0].get_components().images
        assert images.shape == (16, 118, 54, 3)


def test_frames_lie_pixel_by_pixel_also_where_both_grids_are_of_one_size(run, nano):
    (empty, note) = run("SoraNoiseGrid", vae=nano[2], width=72, height=72, seconds=0.0, aspect="width x height")
    assert note.endswith("80x80 and resized")
    image = torch.rand(1, 72, 72, 3, generator=torch.Generator().manual_seed(0))
    (given,) = run("SoraPlaceFrames", vae=nano[2], latent=empty, frames=image)
    expected = nano[2].first_stage_model.encode(surrounded(image.movedim(-1, 0)[None], 16))
    torch.testing.assert_close(given["samples"], expected, atol=1e-5, rtol=0)


def test_frames_at_less_strength_are_a_start_and_not_a_ghost(run, nano, prompts, even_grid):
    (latent,) = run("SoraPlaceFrames", vae=nano[2], latent=even_grid, frames=torch.rand(1, 32, 32, 3), strength=0.4)
    assert latent["noise_mask"][0, 0, :, 0, 0].tolist() == pytest.approx([0.6, 1, 1, 1, 1])
    model, *_, fitted = run(
        "SoraFitModel", model=nano[0], positive=prompts[0], negative=prompts[1], latent=latent, border="automatic"
    )
    assert "denoise_mask_function" in model.model_options
    assert "denoise_mask_function" not in nano[0].model_options
    assert torch.equal(fitted["noise_mask"], latent["noise_mask"])


def test_a_latent_without_given_frames_passes_through(run, nano, prompts, even_grid):
    model, positive, _, latent = run(
        "SoraFitModel", model=nano[0], positive=prompts[0], negative=prompts[1], latent=even_grid
    )
    assert model is nano[0]
    assert positive is prompts[0]
    assert latent is even_grid


def test_a_beginning_and_its_video_join_to_one(run, nano, video):
    latent, overlap, _ = run("SoraExtendVideo", vae=nano[2], video=video, seconds=1.0, direction="backward")
    beginning = run("SoraDecodeVideo", vae=nano[2], latent=latent)[0]
    joined, frames = run("SoraJoinVideos", first=beginning, second=video, overlap=overlap, shared="from the second")
    assert len(frames) == 9 + 17
    assert torch.equal(frames[9:], video.get_components().images)
    assert float(joined.get_components().frame_rate) == 8


def test_a_cross_fade_goes_from_one_to_the_other(run):
    black, white = torch.zeros(4, 8, 8, 3), torch.ones(4, 8, 8, 3)
    _, frames = run("SoraJoinVideos", first=black, second=white, overlap=0.375)
    assert frames[:, 0, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_timeline_is_sampled_and_differs_from_its_first_prompt(run, nano, even_grid, sample, prompts):
    lines = "[0-1s] a red ball rolls left\n[1-3s] a blue cube in the snow"
    (positive,) = run("SoraPromptTimeline", clip=nano[1], vae=nano[2], latent=even_grid, timeline=lines, blend=0.0)
    plain = run(
        "SoraPromptTimeline", clip=nano[1], vae=nano[2], latent=even_grid, timeline="[0-3s] a red ball rolls left"
    )
    assert (sample(even_grid, positive=positive) - sample(even_grid)).abs().max() > 1e-4
    assert torch.allclose(sample(even_grid, positive=plain[0]), sample(even_grid), atol=1e-4)


def test_a_preview_is_finished_at_a_larger_size(run, nano, video, sample):
    model, latent, sigmas = run(
        "SoraEditVideo", model=nano[0], vae=nano[2], video=video, steps=3, width=64, height=64
    )  # fmt: skip
    assert latent["samples"].shape[3:] == (8, 8)
    assert latent["sora_size"]["width"] == 64
    assert float(sigmas[0]) == pytest.approx(6 / 7)  # strength 0.6, moved to where a world changes
    assert sample(latent, model=model, sigmas=sigmas).shape == latent["samples"].shape


def test_an_edited_latent_is_not_encoded_again(run, nano, even_grid, sample):
    given = {**even_grid, "samples": sample(even_grid)}
    _, latent, sigmas = run(
        "SoraEditVideo", model=nano[0], vae=nano[2], video=given, strength_start=0.0, strength_end=0.0
    )  # fmt: skip
    assert torch.equal(latent["samples"], given["samples"])
    assert len(sigmas) == 0


def remade(core, known, noise, sampler):
    """What the library makes of `known` with the settings of the fixture `sample`."""
    sampling = Sampling(steps=4, guidance=4.0, negative="snow", sampler=sampler)
    return regenerate(core, known, "a red ball rolls left", 8.0, 5, sampling, noise=noise)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_a_rising_strength_is_the_librarys(run, nano, core, even_grid, sample, sampler):
    import comfy.sample

    given = {**even_grid, "samples": sample(even_grid)}
    model, latent, sigmas = run(
        "SoraEditVideo", model=nano[0], vae=nano[2], video=given, strength_start=0.0, strength_end=0.8, steps=4
    )  # fmt: skip
    noise = comfy.sample.prepare_noise(given["samples"], 5)
    mask = torch.linspace(0, 0.8, 5)[None, None, :, None, None].expand(1, 1, *given["samples"].shape[2:])
    expected = remade(core, Known(given["samples"], mask), noise, sampler)
    found = sample(latent, model=model, sigmas=sigmas, sampler=sampler)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert torch.equal(found[:, :, 0], given["samples"][:, :, 0])
    assert (found - given["samples"])[:, :, 1:].abs().amax((0, 1, 3, 4)).min() > 0.1


def test_only_the_strengths_that_a_model_was_told_last_hold(run, nano, prompts, even_grid, sample):
    """Blocks are chained by their models, too: that of frames placed at less strength goes on to an edit of them."""
    (placed,) = run("SoraPlaceFrames", vae=nano[2], latent=even_grid, frames=torch.rand(1, 32, 32, 3), strength=0.4)
    fitted = run("SoraFitModel", model=nano[0], positive=prompts[0], negative=prompts[1], latent=placed)[0]
    given = {**even_grid, "samples": sample(even_grid)}
    made = []
    for model in (nano[0], fitted):
        model, latent, sigmas = run(
            "SoraEditVideo", model=model, vae=nano[2], video=given, strength_start=0.0, strength_end=0.8, steps=4
        )  # fmt: skip
        made.append(sample(latent, model=model, sigmas=sigmas, sampler="euler"))
    torch.testing.assert_close(made[1], made[0], atol=1e-5, rtol=0)


def test_a_model_is_led_along_the_transition_of_its_own_latent_alone(run, nano, prompts, video, sample):
    """That of a first transition goes on to the next one, and to a continuation, which needs no fit."""
    both = {"positive": prompts[0], "negative": prompts[1]}
    asked = {"positive_first": prompts[0], "positive_second": prompts[0], "mode": "bridge", "seconds": 0.5}
    white = torch.ones(17, 32, 32, 3)
    first, second = (
        run("SoraConnectVideos", vae=nano[2], first=begin, second=end, context=0.5, **asked)[0]
        for begin, end in ((video, white), (torch.zeros_like(white), video))
    )
    assert first["samples"].shape == second["samples"].shape
    fitted = run("SoraFitModel", model=nano[0], latent=first, **both)[0]
    assert (sample(first, model=fitted) - sample(first)).abs().max() > 1e-3
    alone, chained = (run("SoraFitModel", model=model, latent=second, **both)[0] for model in (nano[0], fitted))
    torch.testing.assert_close(sample(second, model=chained), sample(second, model=alone), atol=1e-5, rtol=0)
    longer = run("SoraExtendVideo", vae=nano[2], video=video, seconds=1.0)[0]
    torch.testing.assert_close(sample(longer, model=fitted), sample(longer), atol=1e-5, rtol=0)
    passed = run("SoraFitModel", model=fitted, latent={"samples": torch.zeros_like(first["samples"])}, **both)[0]
    torch.testing.assert_close(sample(first, model=passed), sample(first), atol=1e-5, rtol=0)


def test_partly_given_frames_are_the_librarys(run, nano, core, prompts, even_grid, sample):
    import comfy.sample

    (latent,) = run("SoraPlaceFrames", vae=nano[2], latent=even_grid, frames=torch.rand(1, 32, 32, 3), strength=0.4)
    model, *_, fitted = run("SoraFitModel", model=nano[0], positive=prompts[0], negative=prompts[1], latent=latent)
    noise = comfy.sample.prepare_noise(latent["samples"], 5)
    expected = remade(core, Known(latent["samples"], latent["noise_mask"]), noise, "euler")
    torch.testing.assert_close(sample(fitted, model=model), expected, atol=1e-4, rtol=0)


def test_samplers_that_add_noise_release_each_cell_at_its_level(run, nano, even_grid, sample):
    """They add as much to every cell, too much for one at a lower level of its own."""
    given = {**even_grid, "samples": sample(even_grid)}
    seen = []

    def watch(apply, call):
        seen.append(call["c"]["denoise_mask"][0, 0, :, 0, 0].unique().tolist())
        return apply(call["input"], call["timestep"], **call["c"])

    watched = nano[0].clone()
    watched.set_model_unet_function_wrapper(watch)
    model, latent, sigmas = run(
        "SoraEditVideo", model=watched, vae=nano[2], video=given, strength_start=0.0, strength_end=0.8, steps=4
    )  # fmt: skip
    found = sample(latent, model=model, sigmas=sigmas, sampler="euler_ancestral")
    assert torch.equal(found[:, :, 0], given["samples"][:, :, 0])
    assert set().union(*seen) == {0.0, 1.0}


def test_loops_and_edits_compose_with_what_is_on_the_model(run, nano, even_grid, sample):
    """A wrapper that was there is called inside, once per evaluation, and passes on that time runs in a circle."""
    calls = []

    def count(apply, call):
        calls.append(call["c"]["transformer_options"].get("sora_circular"))
        return apply(call["input"], call["timestep"], **call["c"])

    model = nano[0].clone()
    model.set_model_unet_function_wrapper(count)
    looped, _ = run("SoraSeamlessLoop", model=model, latent=even_grid)
    sample(even_grid, model=looped)
    assert calls == [True] * 4
    assert nano[0].model_options.get("model_function_wrapper") is None


def test_the_frames_of_a_loop_keep_nothing_in_memory_but_themselves(run, nano):
    """ComfyUI's cache holds them, and what is decoded around a short loop is more than the loop."""
    samples = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    frames = run("SoraDecodeLoop", vae=nano[2], latent={"samples": samples}, fps=8.0)[1]
    assert len(frames) == 8
    assert frames.untyped_storage().nbytes() == frames.numel() * frames.element_size()


def test_rolling_the_noise_of_a_loop_rolls_the_loop(run, nano, even_grid):
    """On a Sora model every evaluation commutes with rolling, so nothing in the loop is a beginning."""
    looped, _ = run("SoraSeamlessLoop", model=nano[0], latent=even_grid)
    noisy = torch.randn(even_grid["samples"].shape, generator=torch.Generator().manual_seed(0))
    text = torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(1))

    def velocity(x: torch.Tensor, model) -> torch.Tensor:
        options = model.model_options.get("transformer_options", {})
        with torch.inference_mode():
            return model.model.apply_model(x, torch.tensor([0.7]), c_crossattn=text, transformer_options=dict(options))

    assert (velocity(noisy, looped).roll(1, 2) - velocity(noisy.roll(1, 2), looped)).abs().max() < 1e-4
    assert (velocity(noisy, nano[0]).roll(1, 2) - velocity(noisy.roll(1, 2), nano[0])).abs().max() > 1e-3


def edited(run, nano, prompts, sample, block, latent):
    """A latent after a few steps of an editing block, and of a sampler if it wants one."""
    if block == "SoraEditVideo":
        model, latent, sigmas = run(block, model=nano[0], vae=nano[2], video=latent, steps=3)
        return sample(latent, model=model, sigmas=sigmas)
    three = {"source": prompts[0], "positive": prompts[1], "negative": prompts[1]}
    return run(block, model=nano[0], latent=latent, steps=3, **three)[0]["samples"]


@pytest.mark.parametrize("block", ["SoraEditVideo", "SoraFlowEdit"])
def test_what_a_noise_mask_keeps_is_not_edited(run, nano, prompts, even_grid, sample, block):
    mask = torch.zeros(1, 32, 32)
    mask[..., 16:] = 1
    (given,) = run("SetLatentNoiseMask", samples={**even_grid, "samples": sample(even_grid)}, mask=mask)
    found = edited(run, nano, prompts, sample, block, given)
    changed = (found - given["samples"]).abs().amax((0, 1, 2, 3))
    assert changed[:2].max() < 1e-5
    assert changed[2:].min() > 0.05


@pytest.mark.parametrize("block", ["SoraEditVideo", "SoraFlowEdit"])
def test_one_video_of_a_batch_is_edited_as_in_the_batch(run, nano, prompts, sample, block):
    grid = run("SoraNoiseGrid", vae=nano[2], width=32, height=32, seconds=1.125, fps=8.0, batch=2)[0]
    both = {**grid, "samples": sample(grid)}
    (second,) = run("LatentFromBatch", samples=both, batch_index=1, length=1)
    alone, together = (edited(run, nano, prompts, sample, block, latent) for latent in (second, both))
    torch.testing.assert_close(alone, together[1:], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("rate", "fps", "shown"),
    [(8, 16, [0, 0, 1, 1, 2, 2]), (24, 16, [0, 1, 3, 4]), (24, 12, [0, 2, 4]), (30, 30, [0, 1, 2, 3, 4, 5])],
)
def test_frames_of_another_rate_are_shown_evenly(pack, rate, fps, shown):
    """What a player shows at each moment; the nearest frames would be held 1, 3, 1 and 3 times."""
    assert sys.modules[f"{pack.__name__}.nodes.movie"].shown_at(6, rate, fps)[: len(shown)].tolist() == shown


@pytest.mark.parametrize("rate", [24000 / 1001, 23.976, 30000 / 1001, 29.97, 60000 / 1001, 10.1, 7.2])
@pytest.mark.parametrize("off", [1, 1.001 / 1.001001, 1.001001 / 1.001])
def test_every_frame_is_shown_once_at_its_own_rate(pack, rate, off):
    """Also where the other rate is the same one written with fewer digits."""
    movie = sys.modules[f"{pack.__name__}.nodes.movie"]
    assert torch.equal(movie.shown_at(1800, rate, rate * off), torch.arange(1800))


@pytest.mark.parametrize("size", [1, 4, 7])
def test_frames_are_selected_from_chunks(pack, size):
    movie = sys.modules[f"{pack.__name__}.nodes.movie"]
    frames = torch.arange(7.0).view(7, 1, 1, 1)
    wanted = torch.tensor([1, 1, 1, 2, 5])
    assert torch.cat(list(movie.selected(frames.split(size), wanted))).flatten().tolist() == wanted.tolist()
    (whole,) = movie.selected([frames], torch.arange(7))
    assert whole is frames, "a whole video is not copied for nothing"


def test_a_prompt_for_a_part_of_the_picture_keeps_to_it_in_a_transition(run, nano, prompts, video):
    def connect(mask):
        (first,) = run("ConditioningSetMask", conditioning=prompts[0], mask=mask, strength=0.5, set_cond_area="default")
        ends = {"first": video, "second": video, "positive_first": first, "positive_second": prompts[0]}
        return run("SoraConnectVideos", vae=nano[2], mode="bridge", **ends)[1]

    left = torch.zeros(1, 32, 32)
    left[:, :, :16] = 1
    (_, first), (_, second) = connect(left)
    assert first["mask_strength"] == 0.5
    assert torch.equal(first["mask"], (1 - second["mask"]) * left)
    with pytest.raises(ValueError, match="the mask of a prompt holds 3 pictures"):
        connect(left.repeat(3, 1, 1))


def test_a_short_context_is_not_the_whole_video(run, nano, video):
    _, overlap, note = run("SoraExtendVideo", vae=nano[2], video=video, seconds=1.0, context=0.05)
    assert "given" in note
    assert overlap == 1 / 8


def test_grey_images_are_pictures(run, nano):
    grey = torch.rand(9, 32, 32, 1)
    found, expected = (
        run("SoraExtendVideo", vae=nano[2], video=images, seconds=1.0)[0]["samples"]
        for images in (grey, grey.expand(-1, -1, -1, 3))
    )
    assert torch.equal(found, expected)
