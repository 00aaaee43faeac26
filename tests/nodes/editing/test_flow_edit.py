"""Editing by the difference of two prompts: equal prompts change nothing, masks hold, every flow model can do it."""

import pytest
import torch

from sora_core.diffusion.guidance import guide
from sora_core.diffusion.schedules import schedule
from sora_core.editing.flowedit import flowedit
from sora_core.editing.sdedit import level

EDM = ("cosmos", "cosmos2")
"""Families whose noise levels begin above 1."""


@pytest.fixture(scope="module")
def edit(native, run):
    """SoraFlowEdit on a family member: `edit(latent, source, positive)` returns samples."""

    def call(latent, source, positive, **changes):
        prompts = {"source": source, "positive": positive, "negative": native.prompt(1)}
        return run("SoraFlowEdit", model=native.model, latent=latent, steps=3, **prompts, **changes)[0]

    return call


@pytest.fixture(scope="module")
def given(native, run):
    """A clean latent of the family."""
    grid = native.grid(run)
    return {**grid, "samples": torch.randn(grid["samples"].shape, generator=torch.Generator().manual_seed(3))}


def test_equal_prompts_change_nothing_and_other_prompts_something(native, edit, given):
    if native.name in EDM:
        with pytest.raises(ValueError, match="use Sora Edit Video for this one"):
            edit(given, native.prompt(0), native.prompt(0))
        return
    same = edit(given, native.prompt(0), native.prompt(0), guidance=1.5)
    assert (same["samples"] - given["samples"]).abs().max() < 1e-4
    other = edit(given, native.prompt(0), native.prompt(2))
    assert other["samples"].shape == given["samples"].shape
    assert torch.isfinite(other["samples"]).all()
    assert (other["samples"] - given["samples"]).abs().mean() > 1e-4
    assert other["sora_size"] == given["sora_size"]


def test_an_edit_by_two_prompts_stays_within_its_mask(native, edit, given):
    if native.name in EDM:
        pytest.skip("its noise levels begin above 1, which the block refuses")
    mask = torch.zeros(1, 1, *given["samples"].shape[2:])
    mask[..., 2:] = 1
    out = edit({**given, "noise_mask": mask}, native.prompt(0), native.prompt(2))["samples"]
    change = (out - given["samples"]).abs()
    assert change[..., :2].max() < 1e-5
    assert change[..., 2:].max() > 1e-4


def test_what_was_given_at_nearly_full_strength_is_not_edited(run, nano, prompts):
    """A fitted model frees each cell at its own noise level, and the noise of an edit is at one level for all."""
    latent, mask = torch.randn(1, 16, 3, 4, 4, generator=torch.Generator().manual_seed(4)), torch.ones(1, 1, 3, 4, 4)
    mask[:, :, 0] = 0.01
    model, source, negative, fitted = run(
        "SoraFitModel", model=nano[0], positive=prompts[0], negative=prompts[1], border="hard",
        latent={"samples": latent, "noise_mask": mask},
    )  # fmt: skip
    other = run("SoraTextEncode", clip=nano[1], prompt="a blue cube in the snow", negative="")[0]
    out = run("SoraFlowEdit", model=model, source=source, positive=other, negative=negative, latent=fitted, steps=3)
    change = (out[0]["samples"] - latent).abs()
    assert change[:, :, 0].max() < 1e-5
    assert change[:, :, 1:].max() > 1e-4


@pytest.mark.parametrize("native", ["wan21_i2v"], indirect=True)
def test_what_was_given_with_a_soft_border_is_shown_whole(native, run):
    """Models with image inputs were trained to see a frame or none, and a fit shows them what it has softened so."""
    seen = set()

    def watch(apply, call):
        seen.update(call["c"]["c_concat"][:, :4].unique().tolist())
        return apply(call["input"], call["timestep"], **call["c"])

    model = native.model.clone()
    model.set_model_unet_function_wrapper(watch)
    latent = run("SoraExtendVideo", vae=native.vae, video=native.clip(65), seconds=1.0, fps=8.0)[0]
    fitted = run(
        "SoraFitModel", model=native.model, positive=native.prompt(0), negative=native.prompt(1), latent=latent
    )[3]
    assert len(fitted["noise_mask"].unique()) == 4
    prompts = {"source": native.prompt(0), "positive": native.prompt(2), "negative": native.prompt(1)}
    run("SoraFlowEdit", model=model, latent=fitted, steps=1, **prompts)
    assert seen == {0.0, 1.0}


def test_the_block_does_what_the_library_does(run, nano, core, prompts):
    """On Sora, the same noise, levels and guidance as the library's function, through ComfyUI's own sampling."""
    grid = run("SoraNoiseGrid", vae=nano[2], width=32, height=32, seconds=1.125, fps=8.0)[0]
    latent = torch.randn(grid["samples"].shape, generator=torch.Generator().manual_seed(0))
    other = run("SoraTextEncode", clip=nano[1], prompt="a blue cube in the snow", negative="")[0]
    out = run(
        "SoraFlowEdit", model=nano[0], source=prompts[0], positive=other, negative=prompts[1],
        latent={**grid, "samples": latent}, steps=4, strength=0.7, guidance=3.0, source_guidance=1.0,
    )[0]["samples"]  # fmt: skip
    source, target, negative = (
        core.denoiser([text], fps=8.0) for text in ("a red ball rolls left", "a blue cube in the snow", "snow")
    )
    sigmas = schedule(4, latent[0, 0].numel() // 4, start=float(level(torch.tensor(0.7))))
    with torch.inference_mode():
        import comfy.sample

        expected = flowedit(
            source, guide(target, negative, 3.0), latent, sigmas,
            lambda draw: comfy.sample.prepare_noise(latent, 7919 * draw),
        )  # fmt: skip
    assert (out - latent).abs().max() > 1e-3
    assert (out - expected).abs().max() < 1e-3


def test_an_interrupt_stops_an_edit_within_a_step(comfy, run, nano, prompts):
    from comfy.model_management import InterruptProcessingException

    model, steps = nano[0].clone(), []

    def stop(args):
        steps.append(args["sigma"])
        comfy.interrupt_processing()
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(stop)
    with pytest.raises(InterruptProcessingException):
        run(
            "SoraFlowEdit", model=model, source=prompts[0], positive=prompts[0], negative=prompts[1],
            latent={"samples": torch.ones(1, 16, 3, 4, 4)}, steps=20,
        )  # fmt: skip
    assert len(steps) == 1
