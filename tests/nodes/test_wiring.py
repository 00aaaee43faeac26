"""Stock blocks wired around ours in ways that users try: each does what it does with any other model."""

import math

import pytest
import torch


@pytest.fixture
def placed(run, nano, grid):
    """A grid of 96x64 whose first frame is given."""
    latent = grid(width=96, height=64, seconds=1.125, fps=8.0)
    return run("SoraPlaceFrames", vae=nano[2], latent=latent, frames=torch.rand(1, 64, 96, 3))[0]


@pytest.fixture
def half(run, prompts):
    """A prompt for the left half added to the prompt for everything."""
    area = run("ConditioningSetArea", conditioning=prompts[1], width=48, height=64, x=0, y=0, strength=1.0)[0]
    return run("ConditioningCombine", conditioning_1=prompts[0], conditioning_2=area)[0]


def test_a_prompt_for_an_area_goes_with_given_frames(sample, placed, half):
    found = sample(placed, positive=half)
    assert (found[:, :, 0] - placed["samples"][:, :, 0]).abs().max() < 1e-5
    assert (found - sample(placed)).abs().max() > 1e-3


def test_a_prompt_for_an_area_goes_with_long_videos(run, nano, prompts, grid, half):
    latent = grid(width=96, height=64, seconds=3.0, fps=8.0)
    found = run(
        "SoraLongVideoSampler", model=nano[0], vae=nano[2], positive=half, negative=prompts[1], latent=latent,
        steps=2, window=1.5,
    )[0]["samples"]  # fmt: skip
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("ahead", [False, True])
def test_context_windows_know_when_they_begin_and_what_is_given(run, nano, sample, grid, in_windows, ahead):
    latent = grid(width=32, height=32, seconds=2.125, fps=8.0)
    (latent,) = run("SoraPlaceFrames", vae=nano[2], latent=latent, frames=torch.rand(1, 32, 32, 3))
    model = in_windows(nano[0], 3, overlap=1, ahead=ahead)
    seen = []
    hook = nano[0].model.diffusion_model.register_forward_pre_hook(
        lambda _, args, options: seen.append((*options["transformer_options"]["sora_part"], args[0].shape[2])),
        with_kwargs=True,
    )
    try:
        found = sample(latent, model=model, steps=2)
    finally:
        hook.remove()
    # Latent frames 0 to 2 and 2 to 4, or 1 to 4; before the second is 1 frame, before the third are 5, at 8 a second.
    assert set(seen) == {(0.0, False, 3), (1 / 8, True, 4) if ahead else (5 / 8, True, 3)}
    assert (found[:, :, 0] - latent["samples"][:, :, 0]).abs().max() < 1e-5


def test_the_second_part_of_a_split_sampling_goes_on_from_the_first(run, nano, sample, grid):
    latent = grid(fps=8.0)
    (sigmas,) = run("SoraSchedule", model=nano[0], latent=latent, steps=4)
    high, low = run("SplitSigmas", sigmas=sigmas, step=2)
    first = {**latent, "samples": sample(latent, sigmas=high)}
    torch.testing.assert_close(
        sample(first, sigmas=low, add_noise=False), sample(latent, sigmas=sigmas), atol=1e-4, rtol=0
    )


def test_a_frame_rate_that_a_prompt_has_stays(sample, prompts, grid):
    own = [[[states, {**about, "frame_rate": 24.0}] for states, about in prompt] for prompt in prompts]
    found = sample(grid(seconds=1.125, fps=8.0), positive=own[0], negative=own[1])
    assert torch.equal(found, sample(grid(seconds=0.375, fps=24.0)))
    assert not torch.equal(found, sample(grid(seconds=1.125, fps=8.0)))


def test_a_frame_rate_of_nothing_is_refused(run, sample, prompts):
    positive, negative = run("LTXVConditioning", positive=prompts[0], negative=prompts[1], frame_rate=0.0)
    with pytest.raises(ValueError, match="a prompt has a frame rate of 0, and it must be above 0"):
        sample(steps=1, positive=positive, negative=negative)


def test_a_shift_that_a_model_was_patched_with_holds(run, nano, grid):
    patched = run("ModelSamplingSD3", model=nano[0], shift=12.0)[0]
    schedules = [
        run("SoraSchedule", model=model, latent=grid(), steps=4, shift=shift)[0]
        for model, shift in ((patched, 0.0), (nano[0], 12.0), (nano[0], 0.0))
    ]
    assert torch.equal(schedules[0], schedules[1])
    assert not torch.equal(schedules[0], schedules[2])


@pytest.mark.parametrize("block", ["ModelSamplingFlux", "ModelSamplingLTXV"])
def test_a_shift_that_is_told_as_its_logarithm_holds_too(run, nano, grid, block):
    size = {"width": 512, "height": 512} if block == "ModelSamplingFlux" else {}
    patched = run(block, model=nano[0], max_shift=2.0, base_shift=2.0, **size)[0]
    expected = run("SoraSchedule", model=nano[0], latent=grid(), steps=4, shift=math.exp(2))[0]
    torch.testing.assert_close(run("SoraSchedule", model=patched, latent=grid(), steps=4)[0], expected)
    chosen = run("SoraSchedule", model=patched, latent=grid(), steps=4, shift=3.0)[0]
    assert torch.equal(chosen, run("SoraSchedule", model=nano[0], latent=grid(), steps=4, shift=3.0)[0])


def test_the_model_of_a_loop_makes_no_long_video(run, nano, prompts, grid):
    latent = grid(seconds=3.0, fps=8.0)
    looped, _ = run("SoraSeamlessLoop", model=nano[0], latent=latent)
    options = {"vae": nano[2], "positive": prompts[0], "negative": prompts[1], "latent": latent, "steps": 1}
    with pytest.raises(ValueError, match="would make a loop of every window"):
        run("SoraLongVideoSampler", model=looped, window=1.5, **options)
    whole = run("SoraLongVideoSampler", model=looped, window=9.0, **options)[0]["samples"]
    assert whole.shape == latent["samples"].shape


@pytest.mark.parametrize("block", ["SoraTextEncode", "SoraPromptTimeline"])
def test_a_file_without_text_encoder_gets_one_sentence(run, nano, grid, block):
    more = {"vae": nano[2], "latent": grid()} if block == "SoraPromptTimeline" else {}
    with pytest.raises(ValueError, match="found no text encoder in its file"):
        run(block, clip=None, **more)


def test_a_file_without_vae_gets_one_sentence(run):
    with pytest.raises(ValueError, match="found no VAE that ComfyUI knows"):
        run("SoraNoiseGrid", vae=None)


def test_a_short_prompt_is_expanded_and_kept(run):
    long, again, other = (run("SoraExpandPrompt", prompt="a sad elephant", seed=seed)[0] for seed in (1, 1, 2))
    assert long.startswith("a sad elephant.")
    assert long == again != other
    assert "。" in run("SoraExpandPrompt", prompt="a sad elephant", seed=1, language="Chinese")[0]
