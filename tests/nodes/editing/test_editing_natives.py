"""Every editing block on every kind of native video model: what is given stays, shapes are exact, loops are loops."""

import sys
from importlib import import_module

import pytest
import torch

from sora_core.diffusion.conditioning import Known
from sora_core.shapes import VideoShape


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


@pytest.mark.parametrize("native", ["wan21_i2v"], indirect=True)
def test_wan_sees_what_its_own_block_shows_where_nothing_is_given(native, run):
    prompts = {"positive": native.prompt(0), "negative": native.prompt(1)}
    grid = native.grid(run, 33)
    height, width = (8 * size for size in grid["samples"].shape[3:])
    image = native.clip(1)
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=grid, frames=image)
    _, positive, *_ = run("SoraFitModel", model=native.model, latent=latent, vae=native.vae, **prompts)
    stock, *_ = run(
        "WanImageToVideo", vae=native.vae, width=width, height=height, length=33, start_image=image, **prompts
    )
    ours, theirs = (given[0][1] for given in (positive, stock))
    assert torch.equal(ours["concat_mask"][0, 0], theirs["concat_mask"][0, 0])
    cells = [0, *range(2, ours["concat_latent_image"].shape[2])]  # the one between has seen the image
    torch.testing.assert_close(ours["concat_latent_image"][:, :, cells], theirs["concat_latent_image"][:, :, cells])


@pytest.mark.parametrize("native", ["wan21_i2v"], indirect=True)
def test_windows_of_a_long_video_show_models_with_image_inputs_what_they_take_over(native, run, pack):
    showing = sys.modules[f"{pack.__name__}.nodes.windows"].showing
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=native.grid(run, 17), frames=native.clip(1))
    _, positive, *_ = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )
    mask = torch.ones_like(latent["noise_mask"])
    mask[:, :, :2] = 0
    known = Known(torch.full_like(latent["samples"], 3.0), mask)
    (shown,) = (options for _, options in showing(positive, known))
    assert torch.equal(shown["concat_mask"], mask)
    assert (shown["concat_latent_image"][:, :, :2] == 3).all()
    assert (shown["concat_latent_image"][:, :, 2:] == 0).all()
    assert not torch.equal(positive[0][1]["concat_mask"], mask)


@pytest.mark.parametrize("native", ["vace"], indirect=True)
@pytest.mark.parametrize("block", ["SoraSeamlessLoop", "SoraTileModel", "SoraLongVideoSampler"])
def test_wan_vace_follows_the_part_of_its_control_video_that_it_sees(native, run, stock_sample, block):
    """Its control has a dimension more than the latent; here it is told from place to place by its own latent."""
    seen = []

    def watch(apply, call):
        seen.append((call["input"].shape[2:], call["c"]["vace_context"][:, 0, :16]))
        return apply(call["input"], call["timestep"], **call["c"])

    model = native.model.clone()
    model.set_model_unet_function_wrapper(watch)
    size = {"width": 96, "height": 64} if block == "SoraTileModel" else {"width": 32, "height": 32}
    grid = run("SoraNoiseGrid", vae=native.vae, **size, seconds=33 / 8, fps=8.0)[0]
    control = torch.randn(1, 16, *grid["samples"].shape[2:], generator=torch.Generator().manual_seed(0))
    about = {"vace_frames": [control.repeat(1, 2, 1, 1, 1)], "vace_mask": [torch.ones(1, 64, *control.shape[2:])]}
    prompts = [[[states, {**options, **about}]] for ((states, options),) in (native.prompt(0), native.prompt(1))]
    shown = native.model.model.process_latent_in(control)
    if block == "SoraLongVideoSampler":
        (out,) = run(
            block, model=model, vae=native.vae, positive=prompts[0], negative=prompts[1], latent=grid, steps=1,
            guidance=1.0, sampler="euler", window=2.1, overlap=0.5, anchor=False,
        )  # fmt: skip
        expected = [shown[:, :, :5], shown[:, :, 4:]]
    elif block == "SoraTileModel":
        (model,) = run(block, model=model, vae=native.vae, tile=64)
        out = stock_sample(model, *prompts, grid, steps=1)
        expected = [shown[..., :8], shown[..., 4:]]
    else:
        model, _ = run(block, model=model, latent=grid)
        out = stock_sample(model, *prompts, grid, steps=2)
        expected = [shown, shown.roll(-1, 2)]
    assert torch.isfinite(out["samples"]).all()
    assert len(seen) == 2
    for (cells, found), part in zip(seen, expected, strict=True):
        assert found.shape[2:] == part.shape[2:] == cells
        torch.testing.assert_close(found[:1], part)


@pytest.mark.parametrize("native", ["wan21_i2v"], indirect=True)
def test_images_that_a_prompt_shows_already_stay(native, run, pack):
    """A start image of Wan's own block and a last one of ours; a control goes before them."""
    grid, image = native.grid(run, 33), native.clip(1)
    height, width = (8 * size for size in grid["samples"].shape[3:])
    stock, negative, _ = run(
        "WanImageToVideo", vae=native.vae, width=width, height=height, length=33, start_image=image,
        positive=native.prompt(0), negative=native.prompt(1),
    )  # fmt: skip
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=grid, frames=native.clip(1, seed=2), at=-0.01)
    inputs = {"model": native.model, "negative": negative, "latent": latent}
    _, positive, *_ = run("SoraFitModel", positive=stock, vae=native.vae, **inputs)
    ours, theirs = (given[0][1] for given in (positive, stock))
    assert ours["concat_mask"][0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 0]
    assert torch.equal(ours["concat_latent_image"][:, :, :-1], theirs["concat_latent_image"][:, :, :-1])
    assert torch.equal(ours["concat_latent_image"][:, :, -1], latent["samples"][:, :, -1])

    control = torch.randn(1, 32, *grid["samples"].shape[2:], generator=torch.Generator().manual_seed(0))
    about = {"concat_latent_image": control, "concat_mask": theirs["concat_mask"].expand(-1, 4, -1, -1, -1)}
    both = [[states, {**options, **about}] for states, options in native.prompt(0)]
    _, ((_, ours), *_), *_ = run("SoraFitModel", positive=both, **inputs)
    assert torch.equal(ours["concat_latent_image"][:, :16], control[:, :16])
    assert torch.equal(ours["concat_latent_image"][:, 16:, :-1], control[:, 16:, :-1])
    assert torch.equal(ours["concat_latent_image"][:, 16:, -1], latent["samples"][:, :, -1])
    assert ours["concat_mask"].shape[1] == 4

    showing = sys.modules[f"{pack.__name__}.nodes.windows"].showing
    nothing = Known(torch.zeros_like(latent["samples"]), torch.ones_like(latent["noise_mask"]))
    for prompt in (stock, both):
        ((_, shown),) = showing(prompt, nothing)
        for name in about:
            assert torch.equal(shown[name], prompt[0][1][name])


class Words:
    """A text encoder of a family member: a prompt for each text."""

    def __init__(self, native):
        self.native = native

    def tokenize(self, text):
        return text

    def encode_from_tokens_scheduled(self, tokens):
        return self.native.prompt(len(tokens))


@pytest.mark.parametrize("native", ["wan21", "wan21_i2v", "ltx"], indirect=True)
def test_a_world_is_played_turn_by_turn(native, run):
    made = []
    for action in ("one", "eleven"):
        video, latent, _, turn = run(
            "SoraPlayWorld", model=native.model, clip=Words(native), vae=native.vae, latent=native.grid(run, 17),
            action=action, play=f"of {native.name}", steps=2, sampler="euler",
        )  # fmt: skip
        made.append(latent["samples"])
    before = made[0].shape[2]
    assert turn == 2
    assert torch.equal(made[1][:, :, :before], made[0])
    assert made[1].shape[2] == before + 8 // native.vae.temporal_compression_decode()
    assert (made[1][:, :, before:].std() > 0.01).all()
    assert len(video.get_components().images) == 25


@pytest.mark.parametrize("native", ["wan21_i2v", "ltx", "cosmos"], indirect=True)
@pytest.mark.parametrize("start", [0, 1, 30, 60, 100])
def test_frames_from_any_one_on_are_in_their_place(native, pack, start):
    """These VAEs decode every latent frame but the first by itself, so that the part is exact."""
    decode, media = (import_module(f"{pack.__name__}.nodes.{name}") for name in ("decode", "editing_media"))
    size = VideoShape(num_frames=101, height=4 * native.step, width=4 * native.step, fps=8.0)
    geometry = media.geometry_of(native.vae)
    dims = (geometry.channels, geometry.latent_frames(size.num_frames), 4, 4)
    latent = torch.randn(1, *dims, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = torch.cat(list(decode.stream_frames(native.vae, latent, size, 4)))
        part = torch.cat(list(decode.frames_from(native.vae, latent, size, 4, start, geometry)))
    assert len(whole) == 101
    torch.testing.assert_close(part, whole[start:], atol=1e-5, rtol=0)
