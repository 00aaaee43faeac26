"""Every editing block on every kind of native video model: what is given stays, shapes are exact, loops are loops."""

import pytest
import torch


def kept(latent_in, latent_out):
    """Largest change of the cells that are given."""
    mask = latent_in["noise_mask"].expand_as(latent_in["samples"])
    assert (mask == 0).any()
    difference = (latent_out["samples"] - latent_in["samples"]).abs()
    assert difference[mask > 0].max() > 1e-3, "nothing was generated"
    return float(difference[mask == 0].max())


def test_an_image_is_animated_and_its_latent_kept(native, run, stock_sample):
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=native.grid(run), frames=native.clip(1))
    fitted = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )
    out = stock_sample(*fitted)
    assert out["samples"].shape == native.grid(run)["samples"].shape
    assert torch.isfinite(out["samples"]).all()
    assert kept(latent, out) < 1e-5


@pytest.mark.parametrize("native", ["ltx", "hunyuan15"], indirect=True)
def test_a_stock_latent_of_an_odd_number_of_cells_is_taken_as_it_is(native, run, stock_sample):
    """Models whose tokens are single cells are used so: HunyuanVideo 1.5 at 848x480, LTX-Video at 704x480."""
    size, half = (3 * native.step, 4 * native.step), torch.zeros(1, 3 * native.step, 4 * native.step)
    half[:, 2 * native.step :] = 1
    empty = {"samples": torch.zeros(1, native.vae.latent_channels, 3, 3, 4)}
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=empty, frames=native.clip(1), mask=half)
    assert latent["noise_mask"][0, 0, :, :, 0].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    assert (latent["sora_size"]["height"], latent["sora_size"]["width"]) == size
    fitted = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )
    out = stock_sample(*fitted)
    assert kept(latent, out) < 1e-5
    edited = run("SoraEditVideo", model=native.model, vae=native.vae, video={"samples": out["samples"]}, mask=half)[1]
    assert edited["noise_mask"][0, 0, 0, :, 0].tolist() == [0, 0, 1]
    _, frames = run("SoraDecodeLoop", vae=native.vae, latent=out, fps=8.0)
    assert frames.shape[1:3] == size


def test_first_and_last_images_of_a_batch_are_kept(native, run, stock_sample):
    latent = native.grid(run, 17, batch=2)
    for at, seed in ((0.0, 1), (-0.01, 2)):
        (latent,) = run(
            "SoraPlaceFrames", vae=native.vae, latent=latent, frames=native.clip(1, seed), at=at
        )  # fmt: skip
    assert len(latent["noise_mask"]) == 2
    fitted = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )
    assert kept(latent, stock_sample(*fitted)) < 1e-5


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_a_video_is_extended_and_its_own_part_kept(native, run, stock_sample, direction):
    latent, overlap, note = run(
        "SoraExtendVideo", vae=native.vae, video=native.clip(17), seconds=1.0, direction=direction, fps=8.0
    )
    fitted = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent,
        border="hard",
    )  # fmt: skip
    out = stock_sample(*fitted)
    assert kept(latent, out) < 1e-5
    frames = latent["sora_size"]["num_frames"]
    # A continuation keeps whole latent frames: of 17 frames 13 where a latent frame holds six.
    assert frames >= round(8 * overlap) + 8
    assert f"of {frames} are given" in note
    assert overlap >= 1
    with torch.inference_mode():
        assert native.vae.decode(out["samples"]).reshape(-1, 4 * native.step, 4 * native.step, 3).shape[0] >= frames


@pytest.mark.parametrize("mode", ["bridge", "blend"])
def test_two_videos_are_connected_and_both_ends_kept(native, run, stock_sample, mode):
    latent, positive, first, second = run(
        "SoraConnectVideos", vae=native.vae, first=native.clip(33, 1), second=native.clip(33, 2), mode=mode,
        positive_first=native.prompt(0), positive_second=native.prompt(2), fps=8.0,
    )  # fmt: skip
    fitted = run(
        "SoraFitModel", model=native.model, positive=positive, negative=native.prompt(1), latent=latent, border="hard"
    )
    assert kept(latent, stock_sample(*fitted)) < 1e-5
    frames = latent["sora_size"]["num_frames"]
    assert 0 < 8 * first <= frames - 8
    assert 8 * second >= 8
    if mode == "bridge":
        assert second == 1
    else:
        # The overlap counts for both videos, the context of each for itself.
        assert 8 * (first + second) > frames


@pytest.mark.parametrize("mode", ["blend", "bridge"])
def test_a_transition_is_led_from_one_videos_colours_to_the_others(native, run, stock_sample, mode):
    """Whatever the model predicts, large patches of each latent frame have the colours of the way between the two."""
    from sora_core.editing.connect import coarse

    latent, positive, *_ = run(
        "SoraConnectVideos", vae=native.vae, first=native.clip(33, 1), second=native.clip(33, 2), mode=mode,
        positive_first=native.prompt(0), positive_second=native.prompt(2), fps=8.0,
    )  # fmt: skip
    model, *prompts, fitted = run(
        "SoraFitModel", model=native.model, positive=positive, negative=native.prompt(1), latent=latent, border="hard"
    )
    out, free = (stock_sample(m, *prompts, fitted)["samples"] for m in (model, native.model))
    middle = (latent["noise_mask"] > 0).expand_as(out)
    off = [(coarse(x - latent["sora_course"])[middle]).square().mean().sqrt() for x in (out, free)]
    assert off[0] < 0.5 * off[1]


def test_editing_at_strength_0_returns_the_video_and_at_1_generates(native, run, stock_sample):
    inputs = {"vae": native.vae, "video": native.clip(17), "steps": 3, "fps": 8.0}
    prompts = native.prompt(0), native.prompt(1)
    model, latent, sigmas = run(
        "SoraEditVideo", model=native.model, strength_start=0.0, strength_end=0.0, **inputs
    )  # fmt: skip
    assert torch.equal(stock_sample(model, *prompts, latent, sigmas=sigmas)["samples"], latent["samples"])
    model, latent, sigmas = run(
        "SoraEditVideo", model=native.model, strength_start=1.0, strength_end=1.0, **inputs
    )  # fmt: skip
    assert "noise_mask" not in latent
    assert len(sigmas) == 4
    edited = stock_sample(model, *prompts, latent, sigmas=sigmas)["samples"]
    empty = {**latent, "samples": torch.zeros_like(latent["samples"])}
    generated = stock_sample(native.model, *prompts, empty, sigmas=sigmas)["samples"]
    # Families whose noise levels begin above 1 never lose the start entirely.
    tolerance = 0 if float(sigmas[0]) == 1 else 0.2
    assert (edited - generated).abs().max() <= tolerance


def test_a_ramp_of_strength_changes_later_frames_only_as_far_as_it_says(native, run, stock_sample):
    model, latent, sigmas = run(
        "SoraEditVideo", model=native.model, vae=native.vae, video=native.clip(33), strength_start=0.0,
        strength_end=0.9, steps=4, fps=8.0,
    )  # fmt: skip
    fitted = run(
        "SoraFitModel", model=model, positive=native.prompt(0), negative=native.prompt(1), latent=latent, border="hard"
    )
    out = stock_sample(*fitted, sigmas=sigmas)["samples"]
    change = (out - latent["samples"]).square().mean((0, 1, 3, 4))
    assert change[0] < 1e-10
    assert change[-1] > 1e-4


def test_an_edit_stays_within_its_mask(native, run, stock_sample):
    mask = torch.zeros(1, 4 * native.step, 4 * native.step)
    mask[:, :, 2 * native.step :] = 1
    model, latent, sigmas = run(
        "SoraEditVideo", model=native.model, vae=native.vae, video=native.clip(17), steps=3, fps=8.0, mask=mask
    )  # fmt: skip
    fitted = run(
        "SoraFitModel", model=model, positive=native.prompt(0), negative=native.prompt(1), latent=latent, border="hard"
    )
    out = stock_sample(*fitted, sigmas=sigmas)["samples"]
    change = (out - latent["samples"]).abs()
    assert change[..., :2].max() < 1e-5
    assert change[..., 2:].max() > 1e-3


def test_a_loop_is_denoised_from_every_beginning(native, run, stock_sample):
    """Sampling a loop on every model gives whole cells, as many as the grid has, decoded circularly."""
    grid = native.grid(run, 33)
    model, latent = run("SoraSeamlessLoop", model=native.model, latent=grid)
    out = stock_sample(model, native.prompt(0), native.prompt(1), latent, steps=4)
    assert torch.isfinite(out["samples"]).all()
    video, frames = run("SoraDecodeLoop", vae=native.vae, latent=out, repeats=2, fps=8.0)
    cell = native.vae.upscale_ratio[0](3) - native.vae.upscale_ratio[0](2)
    assert frames.shape == (cell * latent["samples"].shape[2], 4 * native.step, 4 * native.step, 3)
    assert len(video.get_components().images) == 2 * len(frames)


@pytest.mark.parametrize("native", ["ltx"], indirect=True)
@pytest.mark.parametrize("rounds", [1, 2])
def test_a_stride_of_whole_rounds_is_refused(native, run, rounds):
    grid = native.grid(run, 17)
    with pytest.raises(ValueError, match="begin with the same one at every step: give another stride"):
        run("SoraSeamlessLoop", model=native.model, latent=grid, stride=rounds * grid["samples"].shape[2])


def test_a_loop_has_no_beginning_but_that_of_its_step(native, run, comfy):
    """What a model predicts for a rolled loop is its prediction, rolled: given cells, image inputs and all.

    A Sora model commutes with every roll by itself. Any other is seen from another beginning at each step, so the next
    step of a loop rolled by one latent frame is the step of the loop itself.
    """
    grid = native.grid(run, 33)
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=grid, frames=native.clip(9), at=1.0)
    looped, _ = run("SoraSeamlessLoop", model=native.model, latent=latent)
    circular = native.name == "nano"

    def predicted(roll: int) -> torch.Tensor:
        turned = {
            **latent,
            "samples": latent["samples"].roll(roll, 2),
            "noise_mask": latent["noise_mask"].roll(roll, 2),
        }
        model, positive, negative, fitted = run(
            "SoraFitModel", model=looped, positive=native.prompt(0), negative=native.prompt(1), latent=turned,
            border="hard",
        )  # fmt: skip
        import comfy.samplers

        guider, seen = comfy.samplers.CFGGuider(model), []
        guider.set_conds(positive, negative)
        guider.set_cfg(1.5)
        level = float(model.get_model_object("model_sampling").percent_to_sigma(0.3))
        sigmas = torch.tensor([level * 1.1, level, level * 0.9, 0.0])
        x = torch.randn(turned["samples"].shape, generator=torch.Generator().manual_seed(0)).roll(roll, 2) * level

        def once(model_k, _, sigmas, extra_args, **unused):
            extra_args["model_options"]["transformer_options"]["sample_sigmas"] = (
                sigmas if circular else sigmas[1 - roll :]
            )
            seen.append(model_k(x, sigmas[2:3], **extra_args))
            return seen[0]

        with torch.inference_mode():
            guider.sample(
                x, fitted["samples"], comfy.samplers.KSAMPLER(once), sigmas, denoise_mask=fitted["noise_mask"], seed=0,
                disable_pbar=True,
            )  # fmt: skip
        return seen[0]

    plain, turned = predicted(0), predicted(1)
    shift = plain.roll(1, 2) - turned
    assert plain.std() > 1e-3
    assert (plain - turned).abs().max() > 1e-3, "rolling has no effect at all"
    assert shift.abs().max() < 1e-4 * max(1.0, float(plain.abs().max()))


@pytest.mark.parametrize("native", ["ltx"], indirect=True)
@pytest.mark.parametrize("block", ["SoraSeamlessLoop", "SoraTileModel", "SoraLongVideoSampler"])
def test_guides_behind_the_video_are_not_taken_for_more_of_it(native, run, stock_sample, block):
    """LTXVAddGuide appends them to the latent and tells their places to the model."""
    size = {"width": 16 * native.step, "height": 4 * native.step, "fps": 8.0}
    latent = run("SoraNoiseGrid", vae=native.vae, **size, seconds=65 / 8)[0]
    about = {"keyframe_idxs": torch.zeros(1, 3, 64, 2)}
    both = [[[states, {**options, **about}] for states, options in native.prompt(seed)] for seed in (0, 1)]

    def sampled(positive, negative):
        if block == "SoraLongVideoSampler":
            prompts = {"positive": positive, "negative": negative}
            return run(block, model=native.model, vae=native.vae, latent=latent, window=4.2, **prompts)
        given = {"vae": native.vae, "tile": 8 * native.step} if block == "SoraTileModel" else {"latent": latent}
        return stock_sample(run(block, model=native.model, **given)[0], positive, negative, latent, steps=1)

    with pytest.raises(ValueError, match="guides of LTXVAddGuide"):
        sampled(*both)


def test_decoding_a_rolled_loop_gives_the_rolled_video(native, run):
    channels = native.vae.latent_channels
    samples = torch.randn(1, channels, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    t = samples.shape[2]
    frames = [
        run("SoraDecodeLoop", vae=native.vae, latent={"samples": samples.roll(k, 2)}, fps=8.0, context=36)[1]
        for k in (0, 1)
    ]
    assert (frames[0].roll(len(frames[0]) // t, 0) - frames[1]).abs().max() < 1e-4


def test_a_timeline_mixes_prompts_in_time(native, run, stock_sample, comfy):
    """Mixed by hand at the first step: each latent frame follows the prompt that holds then."""
    from sora_core.editing.timed import timeline_weights
    from sora_core.text.timeline import parse

    grid = native.grid(run, 33)
    connect = comfy.NODE_CLASS_MAPPINGS["SoraPromptTimeline"].execute.__globals__
    geometry = connect["geometry_of"](native.vae)
    weights = timeline_weights(parse("[0-2s] a\n[2-9s] b"), geometry, grid["samples"].shape[2], 8, 0.5)
    both = connect["timed_conditioning"]([(native.prompt(0), weights[0]), (native.prompt(2), weights[1])])
    outs = [
        stock_sample(native.model, positive, native.prompt(1), grid, steps=1)["samples"]
        for positive in (native.prompt(0), native.prompt(2), both)
    ]
    mixed = sum(w[:, None, None] * out for w, out in zip(weights, outs[:2], strict=True))
    assert (outs[0] - outs[1]).abs().max() > 1e-4
    assert torch.allclose(outs[2], mixed, atol=1e-4)


def test_resampling_keeps_what_is_given(native, run, stock_sample):
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=native.grid(run), frames=native.clip(1))
    fitted = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )
    (sampler,) = run("SoraResampleSampler", repeats=2)
    if native.name in ("cosmos", "cosmos2"):
        with pytest.raises(ValueError, match="is for noise levels from 1 to 0"):
            stock_sample(*fitted, sampler=sampler)
    else:
        assert kept(latent, stock_sample(*fitted, sampler=sampler)) < 1e-5


@pytest.mark.parametrize("edited", [False, True])
def test_a_sampling_in_two_parts_keeps_what_is_given(native, run, edited):
    """The second part goes on from the noise of the first, as one sampling would, whatever the mask holds back."""
    clip, model = native.clip(33), native.model
    sigmas = run("BasicScheduler", model=native.model, scheduler="simple", steps=4, denoise=1.0)[0]
    if edited:
        model, latent, sigmas = run(
            "SoraEditVideo", model=model, vae=native.vae, video=clip, strength_start=0.0, strength_end=0.9,
            steps=4, fps=8.0,
        )  # fmt: skip
    else:
        (latent,) = run(
            "SoraPlaceFrames", vae=native.vae, latent=native.grid(run, 33), frames=clip[:25], strength=0.9
        )  # fmt: skip
        (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=latent, frames=clip[:9])
    model, positive, negative, latent = run(
        "SoraFitModel", model=model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )

    def sampled(latent, sigmas, **changes):
        return run(
            "SoraSampler", model=model, positive=positive, negative=negative, latent=latent, sigmas=sigmas,
            sampler="euler", guidance=1.5, seed=3, **changes,
        )[0]  # fmt: skip

    whole = sampled(latent, sigmas)
    half = sampled(latent, sigmas[:3])
    found = sampled(half, sigmas[2:], add_noise=False)
    assert kept(latent, found) < 1e-4
    torch.testing.assert_close(found["samples"], whole["samples"], atol=1e-3, rtol=1e-3)
    assert found.keys() == whole.keys() == latent.keys()


def test_long_given_parts_get_a_soft_border_only_where_the_model_needs_it(native, run, stock_sample):
    latent, *_ = run("SoraExtendVideo", vae=native.vae, video=native.clip(65), seconds=1.0, fps=8.0)
    model, positive, negative, fitted = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )
    soft = not torch.equal(fitted["noise_mask"], latent["noise_mask"])
    assert soft == (native.name in ("wan21", "wan21_i2v", "hunyuan", "hunyuan15", "mochi", "cosmos"))
    out = stock_sample(model, positive, negative, fitted, steps=4)
    assert (out["samples"] - latent["samples"])[:, :, :2].abs().max() < 1e-5
