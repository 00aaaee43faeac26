"""Stock samplers, Sora's sampler and the plain library walk the same way."""

import pytest
import torch

from sora_core.diffusion.conditioning import Known, with_known
from sora_core.diffusion.guidance import guide
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.schedules import schedule
from sora_core.pipeline import Sora

PROMPT, NEGATIVE = "a red ball rolls left", "snow"
TOLERANCE = 1e-4  # of values around 1, after 4 steps of a network with random weights


def noise_of(latent, seed=5):
    import comfy.sample

    return comfy.sample.prepare_noise(latent["samples"], seed)


@pytest.fixture(scope="module")
def tokens(grid):
    return grid()["samples"][0, 0].numel() // 4


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_sampler_equals_the_library(sample, grid, core, tokens, sampler):
    model = guide(core.denoiser([PROMPT], fps=12.0), core.denoiser([NEGATIVE], fps=12.0), 4.0)
    with torch.inference_mode():
        expected = SAMPLERS[sampler](model, noise_of(grid()), schedule(4, tokens))
    assert expected.std() > 0.5
    torch.testing.assert_close(sample(sampler=sampler), expected, atol=TOLERANCE, rtol=0)


def test_limited_and_rescaled_guidance_equals_the_library(sample, grid, core, tokens):
    prompts = [core.denoiser([text], fps=12.0) for text in (PROMPT, NEGATIVE)]
    with torch.inference_mode():
        model = guide(*prompts, 6.0, interval=(0.3, 0.8), rescale=0.7)
        expected = SAMPLERS["euler"](model, noise_of(grid()), schedule(4, tokens))
    found = sample(guidance=6.0, guidance_to=0.3, guidance_from=0.8, guidance_rescale=0.7)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)
    assert (sample(guidance=6.0) - expected).abs().max() > 0.1


def test_guidance_ends_where_the_model_says_unless_sampling_begins_below_or_the_block_says_otherwise(
    sample, grid, core, tokens, nano, monkeypatch
):  # fmt: skip
    prompts = [core.denoiser([text], fps=12.0) for text in (PROMPT, NEGATIVE)]
    latent, levels = grid(), schedule(4, tokens)

    def expected(lowest, sigmas):
        x = sigmas[0] * noise_of(latent)
        with torch.inference_mode():
            return SAMPLERS["euler"](guide(*prompts, 6.0, interval=(lowest, 1.0)), x, sigmas)

    full, ended = expected(0.0, levels), expected(0.7, levels)
    assert (full - ended).abs().max() > 0.1
    monkeypatch.setattr(nano[0].model, "guided_above", 0.7)
    torch.testing.assert_close(sample(guidance=6.0), ended, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(sample(guidance=6.0, guidance_to=0.01), full, atol=TOLERANCE, rtol=0)
    below = schedule(4, tokens, start=0.9)
    torch.testing.assert_close(sample(guidance=6.0, sigmas=below), expected(0.0, below), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("shift", [1.57, 2.14, 3.0, 4.03])
def test_guidance_ends_where_the_model_says_at_any_shift(run, pack, grid, nano, monkeypatch, shift):
    monkeypatch.setattr(nano[0].model, "guided_above", 0.7)
    model = run("ModelSamplingSD3", model=nano[0], shift=shift)[0]
    sigmas = run("SoraSchedule", model=model, latent=grid(), steps=4)[0]
    assert pack.nodes.guider.guided_levels(model, sigmas) == (0.7, 1.0)
    assert pack.nodes.guider.guided_levels(model, sigmas[1:]) == (0.0, 1.0)


def test_known_cells_equal_the_library_and_stay_exact(sample, grid, core, tokens):
    latent = grid()
    clean, mask = torch.randn_like(latent["samples"]), torch.ones_like(latent["samples"][:, :1])
    mask[:, :, 0] = 0
    mask[:, :, 1, :2] = 0.5
    known = Known(clean, mask)
    prompts = [with_known(core.denoiser([p], fps=12.0), known, core.config.dit.patch) for p in (PROMPT, NEGATIVE)]
    with torch.inference_mode():
        expected = SAMPLERS["euler"](guide(*prompts, 4.0), noise_of(latent), schedule(4, tokens))
    found = sample({**latent, "samples": clean, "noise_mask": mask})
    torch.testing.assert_close(found[:, :, 0], clean[:, :, 0], atol=1e-6, rtol=0)
    generated = mask.expand_as(found) == 1
    torch.testing.assert_close(found[generated], expected[generated], atol=TOLERANCE, rtol=0)


def test_ksampler_equals_sora_sampler(run, sample, nano, prompts, grid):
    settings = {"sampler_name": "dpmpp_2m", "scheduler": "simple", "steps": 4}
    sigmas = run("BasicScheduler", model=nano[0], scheduler="simple", steps=4, denoise=1.0)[0]
    stock = run(
        "KSampler", model=nano[0], seed=5, cfg=4.0, positive=prompts[0], negative=prompts[1],
        latent_image=grid(fps=8.0), denoise=1.0, **settings,
    )[0]["samples"]  # fmt: skip
    assert torch.equal(sample(grid(fps=8.0), sampler="dpmpp_2m", sigmas=sigmas), stock)


def test_custom_sampler_with_sora_schedule_equals_sora_sampler(run, sample, nano, prompts, grid):
    latent = grid(fps=8.0)
    stock = run(
        "SamplerCustomAdvanced",
        noise=run("RandomNoise", noise_seed=5)[0],
        guider=run("CFGGuider", model=nano[0], positive=prompts[0], negative=prompts[1], cfg=4.0)[0],
        sampler=run("KSamplerSelect", sampler_name="euler")[0],
        sigmas=run("SoraSchedule", model=nano[0], latent=latent, steps=4)[0],
        latent_image=latent,
    )[0]
    assert torch.equal(sample(latent), stock["samples"])
    assert stock["sora_size"] == latent["sora_size"]


def test_samplers_that_never_reach_a_clean_video_are_not_offered(comfy):
    from comfy.samplers import SAMPLER_NAMES

    offered = comfy.NODE_CLASS_MAPPINGS["SoraSampler"].INPUT_TYPES()["required"]["sampler"][1]["options"]
    assert set(SAMPLER_NAMES) - set(offered) == {"dpm_fast", "dpm_adaptive"}


def test_guidance_reaches_noise_levels_above_one(run, sample, nano):
    levels = torch.tensor([20.0, 5.0, 0.0])
    model = run("ModelSamplingContinuousEDM", model=nano[0], sampling="edm", sigma_max=80.0, sigma_min=0.002)[0]
    plain, guided = (sample(model=model, sigmas=levels, guidance=strength) for strength in (1.0, 4.0))
    assert not torch.equal(plain, guided)


def test_seed_decides_the_video_in_any_batch(sample, grid):
    single, pair = sample(), sample(grid(batch=2))
    torch.testing.assert_close(pair[:1], single, atol=TOLERANCE, rtol=0)
    assert (pair[1] - pair[0]).abs().max() > 0.5
    assert torch.equal(sample(), single)


def test_inputs_are_not_changed(sample, grid, prompts, nano):
    latent, options = grid(), dict(nano[0].model_options)
    sample(latent, guidance_rescale=0.5)
    assert not latent["samples"].any()
    assert "frame_rate" not in prompts[0][0][1]
    assert nano[0].model_options == options


def test_frame_rate_of_the_grid_reaches_the_model(run, sample, grid, prompts):
    twelve = sample(grid(fps=12.0, seconds=0.875))
    other = sample({"samples": grid()["samples"]})
    assert (twelve - other).abs().max() > 1e-3
    rated = run("LTXVConditioning", positive=prompts[0], negative=prompts[1], frame_rate=12.0)
    assert torch.equal(sample({"samples": grid()["samples"]}, positive=rated[0], negative=rated[1]), twelve)


def test_schedule_starts_where_it_is_told_and_follows_the_size(run, nano, grid):
    small = run("SoraSchedule", model=nano[0], latent=grid(), steps=8, denoise=0.6)[0]
    assert small[0] == pytest.approx(0.6)
    assert small[-1] == 0
    large = run("SoraSchedule", model=nano[0], latent=grid(width=512, height=512), steps=8)[0]
    assert (large[1:-2] > run("SoraSchedule", model=nano[0], latent=grid(), steps=8)[0][1:-2]).all()
    unshifted = run("SoraSchedule", model=nano[0], latent=grid(), steps=8, shift=1.0)[0]
    torch.testing.assert_close(unshifted[:-1], torch.linspace(1, 0.05, 8))


def test_an_empty_latent_of_smaller_cells_gets_the_size_in_cells_of_the_model(run, sample, nano, monkeypatch):
    """Newer versions say in empty latents how many pixels a cell was taken for, and their samplers go by it."""
    import comfy.sample

    def fix(model, samples, downscale_ratio_spacial=8):
        return samples[..., :: 8 // downscale_ratio_spacial, :: 8 // downscale_ratio_spacial]

    fine = {"samples": torch.zeros(1, 16, 3, 12, 20), "downscale_ratio_spacial": 4, "downscale_ratio_temporal": 4}
    plain = {"samples": torch.zeros(1, 16, 3, 6, 10)}
    expected = run("SoraSchedule", model=nano[0], latent=plain, steps=4)[0]
    monkeypatch.setattr(comfy.sample, "fix_empty_latent_channels", fix)
    assert sample(fine).shape == (1, 16, 3, 6, 10)
    assert torch.equal(run("SoraSchedule", model=nano[0], latent=fine, steps=4)[0], expected)


def test_the_mask_of_a_prompt_fits_the_latent_that_is_sampled(sample, prompts, monkeypatch):
    """Newer versions give an empty latent for short cells fewer of a model's longer ones."""
    import comfy.sample

    monkeypatch.setattr(comfy.sample, "fix_empty_latent_channels", lambda model, samples: samples[:, :, ::2])
    empty = {"samples": torch.zeros(1, 16, 6, 6, 10)}
    masked = {t: [[states, {**about, "mask": torch.ones(1, t, 6, 10)}] for states, about in prompts[0]] for t in (3, 6)}
    assert sample(empty, positive=masked[3]).shape == (1, 16, 3, 6, 10)
    with pytest.raises(ValueError, match="holds 6 pictures, and the latent has 3 latent frames"):
        sample(empty, positive=masked[6])


def test_schedule_ends_where_the_model_says(run, grid):
    (sora_mini, _, _) = run("SoraLoadModel", checkpoint="sora-mini (bundled)")
    ours = run("SoraSchedule", model=sora_mini, latent=grid(), steps=6, denoise=1.0, shift=0.0)[0]
    assert ours[-2] == pytest.approx(Sora.load().config.dit.lowest_sigma, abs=1e-6)
    assert ours[-2] > 0.1


def test_stock_schedulers_end_there_too(run, comfy):
    import comfy.samplers

    (mini, _, _) = run("SoraLoadModel", checkpoint="sora-mini (bundled)")
    levels = mini.get_model_object("model_sampling")
    for name in ("simple", "normal", "sgm_uniform", "beta", "karras", "exponential", "kl_optimal"):
        sigmas = comfy.samplers.calculate_sigmas(levels, name, 12)
        assert sigmas[0] == pytest.approx(1, abs=1e-5)
        assert sigmas[-1] == 0
        assert 0.499 < sigmas[-2] < 0.65, name
    # The grid whose shift stock schedulers start from has 320 patches.
    simple = comfy.samplers.calculate_sigmas(levels, "simple", 1000)
    torch.testing.assert_close(simple, schedule(1000, 320, lowest=0.5), atol=1e-5, rtol=0)


def test_a_prompt_of_the_last_part_of_sampling_is_asked_there(run, grid):
    """Prompt ranges are parts of the sampling that is walked, which for Sora Mini ends at half of the noise."""
    (mini, clip, _) = run("SoraLoadModel", checkpoint="sora-mini (bundled)")
    first, last, negative = (run("CLIPTextEncode", clip=clip, text=words)[0] for words in ("ball", "cube", ""))
    parts = [run("ConditioningSetTimestepRange", conditioning=first, start=0.0, end=0.9)[0]]
    parts.append(run("ConditioningSetTimestepRange", conditioning=last, start=0.9, end=1.0)[0])
    positive, seen = run("ConditioningCombine", conditioning_1=parts[0], conditioning_2=parts[1])[0], []

    def watch(executor, x, timestep, context, *args, **kwargs):
        seen.append([text for text in ("first", "last") if any(torch.equal(row, states[text]) for row in context)])
        return executor(x, timestep, context, *args, **kwargs)

    states = {"first": first[0][0][0], "last": last[0][0][0]}
    mini.add_wrapper_with_key("diffusion_model", "test", watch)
    run("SoraSampler", model=mini, positive=positive, negative=negative, latent=grid(), steps=3, guidance=1.0)
    assert seen == [["first"], ["first"], ["last"]]


def test_schedule_refuses_models_of_another_noise(run, nano, grid):
    model = run("ModelSamplingContinuousEDM", model=nano[0], sampling="edm", sigma_max=80.0, sigma_min=0.002)[0]
    with pytest.raises(ValueError, match=r"begin at 80; .* BasicScheduler"):
        run("SoraSchedule", model=model, latent=grid())


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([1.0], r"\[1.0\]; they end at pure noise"),
        ([0.1, 1.0], r"\[0.1, 1.0\]; they end at pure noise"),
        ([1.0, float("nan"), 0.0], r"nan.* finite numbers"),
        ([1.0, -0.1], r"none below 0"),
        ([[1.0, 0.0]], r"one row"),
    ],
)
def test_levels_that_lead_to_no_latent_are_refused(sample, levels, said):
    with pytest.raises(ValueError, match=said):
        sample(sigmas=torch.tensor(levels))


def test_prompts_of_another_duration_are_refused(run, sample, nano, prompts, grid):
    lines = "[0-1s] a red ball\n[1-2s] snow"
    longer = run("SoraPromptTimeline", clip=nano[1], vae=nano[2], latent=grid(seconds=2.0), timeline=lines)[0]
    each = run("ConditioningSetMask", conditioning=prompts[0], mask=torch.ones(10, 47, 65), strength=1.0,
               set_cond_area="default")[0]  # fmt: skip
    for pictures, positive in ((7, longer), (10, each)):
        with pytest.raises(ValueError, match=rf"holds {pictures} pictures, and the latent has 4 latent frames"):
            sample(positive=positive)


@pytest.mark.parametrize("block", ["SoraSampler", "SoraFlowEdit"])
def test_noise_mask_of_another_duration_is_refused(run, nano, prompts, grid, block):
    placed = {**grid(), "noise_mask": torch.ones(1, 1, 4, 6, 10)}
    cut = run("LatentCut", samples=placed, dim="t", index=1, amount=2)[0]
    given = {"model": nano[0], "positive": prompts[0], "negative": prompts[1], "steps": 2}
    if block == "SoraFlowEdit":
        given["source"] = prompts[1]
    with pytest.raises(ValueError, match=r"which of 4 latent frames are given, but the latent has 2"):
        run(block, latent=cut, **given)


@pytest.mark.parametrize("block", ["SoraSampler", "SoraFlowEdit"])
def test_a_noise_mask_of_yes_and_no_is_one_of_numbers(run, nano, prompts, grid, block):
    mask = torch.ones(1, 1, 4, 6, 10)
    mask[:, :, 0] = 0
    latent = {**grid(), "samples": torch.randn(1, 16, 4, 6, 10, generator=torch.Generator().manual_seed(0))}
    given = {"model": nano[0], "positive": prompts[0], "negative": prompts[1], "steps": 2}
    if block == "SoraFlowEdit":
        given["source"] = prompts[1]
    found, expected = (
        run(block, latent={**latent, "noise_mask": each}, **given)[0]["samples"] for each in (mask.bool(), mask)
    )
    assert torch.equal(found, expected)


def test_guidance_that_acts_nowhere_is_told(sample, nano, monkeypatch, caplog):
    monkeypatch.setattr(nano[0].model, "guided_above", 0.7)
    told = "no noise level is guided, for guidance ends at 0.7 and begins at 0.5"
    for changes in ({}, {"guidance_from": 0.5, "guidance_to": 0.2}, {"guidance_from": 0.5, "guidance": 1.0}):
        sample(steps=1, **changes)
    assert "no noise level is guided" not in caplog.text
    sample(steps=1, guidance_from=0.5)
    assert told in caplog.text


def test_odd_latents_are_padded_inside_and_cropped(sample):
    assert sample({"samples": torch.zeros(1, 16, 2, 5, 7)}).shape == (1, 16, 2, 5, 7)


def test_interrupt_stops_within_a_step(comfy, sample, nano):
    from comfy.model_management import InterruptProcessingException

    model, steps = nano[0].clone(), []

    def stop(args):
        steps.append(args["sigma"])
        comfy.interrupt_processing()
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(stop)
    with pytest.raises(InterruptProcessingException):
        sample(model=model, steps=20)
    assert len(steps) == 1
