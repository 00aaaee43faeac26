"""Pictures larger than a model was made for, in tiles: on every kind of model, with given frames and masks."""

import pytest
import torch


def wide(native, run, height=8):
    """A grid of 12 x 8 latent cells and 9 frames, and the pixels of a tile of 8 x 8 cells."""
    size = {"width": 12 * native.step, "height": height * native.step}
    return run("SoraNoiseGrid", vae=native.vae, **size, seconds=9 / 8, fps=8.0)[0], 8 * native.step


def watched(model, seen):
    """The model noting the size of what it sees, its masks too."""

    def watch(apply, call):
        mask = call["c"].get("denoise_mask")
        seen.append((tuple(call["input"].shape[-2:]), None if mask is None else tuple(mask.shape[-2:])))
        return apply(call["input"], call["timestep"], **call["c"])

    clone = model.clone()
    clone.set_model_unet_function_wrapper(watch)
    return clone


def test_a_wide_frame_is_seen_in_tiles_and_what_is_given_stays(native, run, stock_sample):
    latent, tile = wide(native, run)
    image = torch.rand(1, latent["sora_size"]["height"], latent["sora_size"]["width"], 3)
    (latent,) = run("SoraPlaceFrames", vae=native.vae, latent=latent, frames=image)
    seen = []
    fitted = run(
        "SoraFitModel", model=watched(native.model, seen), positive=native.prompt(0), negative=native.prompt(1),
        latent=latent, border="hard",
    )  # fmt: skip
    (model,) = run("SoraTileModel", model=fitted[0], vae=native.vae, tile=tile)
    out = stock_sample(model, *fitted[1:])
    assert {size for size, _ in seen} == {(8, 8)}
    assert {mask for _, mask in seen} <= {(8, 8), None}
    given = latent["noise_mask"].expand_as(latent["samples"]) == 0
    assert given.any()
    assert (out["samples"] - latent["samples"])[given].abs().max() < 1e-5
    assert torch.isfinite(out["samples"]).all()
    assert out["samples"][~given].std() > 0.1


@pytest.mark.parametrize("native", ["wan21_reference"], indirect=True)
def test_a_tile_sees_its_own_part_of_a_reference_picture(native, run, stock_sample):
    latent, tile = wide(native, run)
    picture = torch.randn(1, 16, 1, *latent["samples"].shape[3:], generator=torch.Generator().manual_seed(0))
    plain = native.prompt(0), native.prompt(1)
    prompts = [[[states, {**about, "reference_latents": [picture]}] for states, about in prompt] for prompt in plain]
    (model,) = run("SoraTileModel", model=native.model, vae=native.vae, tile=tile)
    out, other = (stock_sample(model, *both, latent)["samples"] for both in (prompts, plain))
    assert torch.isfinite(out).all()
    assert not torch.equal(out, other)


@pytest.mark.parametrize("native", ["ltx"], indirect=True)
def test_tokens_are_those_that_the_network_makes(native, run, pack):
    latent, _ = wide(native, run)
    tokens, _ = native.model.model.diffusion_model.patchifier.patchify(latent["samples"])
    assert pack.nodes.native.count_tokens(native.model, latent["samples"]) == tokens.shape[1] == 2 * 8 * 12


def test_a_frame_of_one_tile_is_left_alone(run, nano, even_grid, sample):
    (model,) = run("SoraTileModel", model=nano[0], vae=nano[2])
    assert torch.equal(sample(even_grid, model=model), sample(even_grid))


def test_an_edit_keeps_what_its_mask_keeps_in_tiles(run, nano, sample):
    grid = run("SoraNoiseGrid", vae=nano[2], width=192, height=64, seconds=1.125, fps=8.0)[0]
    given = {**grid, "samples": sample(grid)}
    mask = torch.zeros(1, 64, 192)
    mask[:, :, 96:] = 1
    edited = run("SoraEditVideo", model=nano[0], vae=nano[2], video=given, strength_start=0.2, mask=mask, steps=3)
    (model,) = run("SoraTileModel", model=edited[0], vae=nano[2], tile=64)
    found = sample(edited[1], model=model, sigmas=edited[2])
    columns = mask[0, 0].reshape(24, 8).amax(1) > 0
    assert torch.equal(found[..., ~columns], given["samples"][..., ~columns])
    assert (found - given["samples"])[..., columns].abs().amax((0, 1, 3, 4)).min() > 0.1


def test_memory_is_asked_for_one_tile(run, nano, prompts, stock_sample, monkeypatch):
    """ComfyUI would otherwise move the weights out to make room for the whole frame."""
    asked = []
    real = nano[0].model.memory_required
    monkeypatch.setattr(
        nano[0].model, "memory_required", lambda shape, **options: asked.append(list(shape)) or real(shape, **options)
    )
    grid = run("SoraNoiseGrid", vae=nano[2], width=192, height=64, seconds=1.125, fps=8.0)[0]
    (model,) = run("SoraTileModel", model=nano[0], vae=nano[2], tile=64)
    stock_sample(model, *prompts, grid)
    most, least = asked[:2]  # before sampling; what follows decides whether both prompts fit into one pass
    assert most == [2, 16, 3, 8, 8]
    assert least == [1, 16, 3, 8, 8]


@pytest.mark.parametrize("block", ["SoraTileModel", "SoraSeamlessLoop"])
@pytest.mark.parametrize("native", ["ltx"], indirect=True)
def test_video_with_sound_gets_one_sentence(native, run, stock_sample, block):
    """ComfyUI samples it as one row of numbers."""
    context = {"latent": native.grid(run)} if block == "SoraSeamlessLoop" else {"vae": native.vae}
    model = run(block, model=native.model, **context)[0]
    with pytest.raises(ValueError, match="several streams, such as video with sound"):
        stock_sample(model, native.prompt(0), native.prompt(1), {"samples": torch.zeros(1, 1, 640)}, steps=1)


def test_a_tile_too_small_gets_one_sentence(run, nano):
    with pytest.raises(ValueError, match="the tile is 16 pixels; make it at least 64, or 0"):
        run("SoraTileModel", model=nano[0], vae=nano[2], tile=16)
