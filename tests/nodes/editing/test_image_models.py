"""Models with image inputs see what is given, what their prompts show already, and the part of it that is sampled."""

import sys

import pytest
import torch

from sora_core.diffusion.conditioning import Known


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
def test_the_vae_of_another_model_is_refused(native, run, monkeypatch):
    prompts = {"positive": native.prompt(0), "negative": native.prompt(1)}
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=native.grid(run), frames=native.clip(1))
    monkeypatch.setattr(native.vae, "latent_channels", 48)
    with pytest.raises(ValueError, match=r"this VAE's are .b, 48, t, h, w.: use the VAE that belongs to the model"):
        run("SoraFitModel", model=native.model, latent=latent, vae=native.vae, **prompts)


def test_prompts_of_models_without_image_inputs_stay_as_they_are(native, run):
    """LTX-2 samples video and sound packed together, and would unpack a mask that its prompt brings along."""
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=native.grid(run), frames=native.clip(1))
    prompts = {"positive": native.prompt(0), "negative": native.prompt(1)}
    _, *fitted, _ = run("SoraFitModel", model=native.model, latent=latent, **prompts)
    takes = native.name in ("wan21", "wan22", "wan21_i2v", "hunyuan15", "cosmos2")
    for ours, theirs in zip(fitted, prompts.values(), strict=True):
        assert (set(ours[0][1]) != set(theirs[0][1])) == takes


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


@pytest.mark.parametrize("native", ["hunyuan15"], indirect=True)
def test_windows_show_it_for_prompts_without_an_image_too(native, run):
    """HunyuanVideo 1.5 has these inputs always, and mistakes the mask of a latent for as many channels."""
    seen = []

    def watch(apply, call):
        seen.append(call["c"]["c_concat"])
        return apply(call["input"], call["timestep"], **call["c"])

    model = native.model.clone()
    model.set_model_unet_function_wrapper(watch)
    (out,) = run(
        "SoraLongVideoSampler", model=model, vae=native.vae, positive=native.prompt(0), negative=native.prompt(1),
        latent=native.grid(run, 33), steps=1, guidance=1.0, sampler="euler", window=2.1, overlap=0.5, anchor=False,
    )  # fmt: skip
    first, second = seen
    assert not first.any()
    assert second[0, 32, :, 0, 0].tolist() == [1, 0, 0, 0, 0]
    given = native.model.model.process_latent_in(out["samples"][:, :, 4])
    torch.testing.assert_close(second[:, :32, 0], given)
    assert not second[:, :32, 1:].any()


def test_a_window_hears_its_own_part_of_the_sound(pack):
    """Wan's S2V reads four parts for each latent frame from the first one on, whatever window it sees."""
    from sora_core.editing.long import plan

    conditions_in = sys.modules[f"{pack.__name__}.nodes.windows"].conditions_in
    last = plan(9, 6, 1)[-1]
    assert last.cells == [0, *range(4, 9)]
    for sound in (torch.arange(36.0).expand(1, 2, 3, 36), torch.arange(9.0)[:, None, None, None].expand(1, 9, 8, 5, 3)):
        ((_, heard),) = conditions_in([[torch.zeros(1, 1, 1), {"audio_embed": sound}]], last, 9)
        parts = heard["audio_embed"][0, 0, 0] if sound.ndim == 4 else heard["audio_embed"][0, :, 0, 0, 0]
        expected = [0, 1, 2, 3, *range(16, 36)] if sound.ndim == 4 else last.cells
        assert parts.tolist() == expected


def test_a_beginning_that_a_model_puts_in_its_place_stays_the_beginning(pack):
    """Kandinsky 5 shows its start image so, and would put it first in every window and in every turn of a loop."""
    from sora_core.editing.long import plan

    windows, wrap = (sys.modules[f"{pack.__name__}.nodes.{name}"] for name in ("windows", "editing_wrap"))
    start = torch.arange(2.0)[:, None, None].expand(1, 4, 2, 2, 2)
    prompt = [[torch.zeros(1, 1, 1), {"time_dim_replace": start}]]
    for anchor, counts in ((True, [2, 1]), (False, [2, 0])):
        for window, count in zip(plan(9, 6, 1, anchor=anchor), counts, strict=False):
            ((_, shown),) = windows.conditions_in(prompt, window, 9)
            found = shown["time_dim_replace"]
            assert (0 if found is None else found.shape[2]) == count
    x, c = wrap.with_beginning(torch.full((2, 4, 3, 2, 2), 5.0), {"time_dim_replace": start, "y": 1})
    assert x[:, 0, :, 0, 0].tolist() == [[0, 1, 5], [0, 1, 5]]
    assert c == {"time_dim_replace": None, "y": 1}


@pytest.mark.parametrize("native", ["wan21_i2v"], indirect=True)
def test_a_second_model_is_shown_what_the_first_was(native, run):
    """Wan 2.2 has one for high and one for low noise levels, and each goes through the block."""
    latent, *_ = run("SoraExtendVideo", vae=native.vae, video=native.clip(65), seconds=1.0, fps=8.0)
    prompts = {"positive": native.prompt(0), "negative": native.prompt(1)}
    model, *both, first = run("SoraFitModel", model=native.model, latent=latent, **prompts)
    assert not torch.equal(first["noise_mask"], latent["noise_mask"])
    (sigmas,) = run("BasicScheduler", model=native.model, scheduler="simple", steps=2, denoise=1.0)
    (half,) = run(
        "SoraSampler", model=model, positive=both[0], negative=both[1], latent=first, sigmas=sigmas[:2], sampler="euler"
    )
    _, *again, second = run("SoraFitModel", model=native.model, latent=half, **prompts)
    assert torch.equal(second["samples"], half["samples"])
    assert torch.equal(second["noise_mask"], first["noise_mask"])
    for ours, theirs in zip(again, both, strict=True):
        for name in ("concat_latent_image", "concat_mask"):
            assert torch.equal(ours[0][1][name], theirs[0][1][name])


@pytest.mark.parametrize("native", ["hunyuan15"], indirect=True)
def test_the_small_video_that_an_upscaler_is_shown_stays(native, run):
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=native.grid(run, 17), frames=native.clip(1))
    positive, negative, _ = run(
        "HunyuanVideo15SuperResolution", positive=native.prompt(0), negative=native.prompt(1), latent=latent,
        noise_augmentation=0.7,
    )  # fmt: skip
    _, *fitted, _ = run("SoraFitModel", model=native.model, positive=positive, negative=negative, latent=latent)
    for ours, theirs in zip(fitted, (positive, negative), strict=True):
        assert torch.equal(ours[0][1]["concat_latent_image"], theirs[0][1]["concat_latent_image"])


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

    small = torch.ones(1, 32, *grid["samples"].shape[2:])[..., :2, :2]
    smaller = [[states, {**options, "concat_latent_image": small}] for states, options in native.prompt(0)]
    _, ((_, ours), *_), *_ = run("SoraFitModel", positive=smaller, **inputs)
    assert ours["concat_latent_image"].shape[1:] == control.shape[1:]
    assert (ours["concat_latent_image"][:, :, :-1] == 1).all()

    showing = sys.modules[f"{pack.__name__}.nodes.windows"].showing
    nothing = Known(torch.zeros_like(latent["samples"]), torch.ones_like(latent["noise_mask"]))
    for prompt in (stock, both):
        ((_, shown),) = showing(prompt, nothing)
        for name in about:
            assert torch.equal(shown[name], prompt[0][1][name])
