"""Blocks called directly in a real ComfyUI in this process, on a model small enough for any machine."""

import itertools
import shutil
from pathlib import Path

import pytest
import torch

from sora_core.pipeline import Sora

NANO = "nano.safetensors"
PLAYS = itertools.count(1)


@pytest.fixture(scope="session")
def models(pack, nano_file) -> Path:
    """The folder models/sora of the ComfyUI in this process, with the nano model in it."""
    import folder_paths

    folder = Path(folder_paths.models_dir) / "sora"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(nano_file, folder / NANO)
    return folder


@pytest.fixture(scope="session")
def run(comfy, pack, models):
    """Calls a block by id as the executor does: widgets that are not given have their defaults."""

    def call(block_id, **inputs):
        block = comfy.NODE_CLASS_MAPPINGS[block_id]
        for name, (kind, about) in ((n, (*spec, {})[:2]) for n, spec in block.INPUT_TYPES()["required"].items()):
            default = about.get("default", kind[0] if isinstance(kind, list) else None)
            inputs.setdefault(name, [default] if getattr(block, "INPUT_IS_LIST", False) else default)
        with torch.inference_mode():
            if hasattr(block, "define_schema"):
                return block.EXECUTE_NORMALIZED(**inputs).args
            return getattr(block(), block.FUNCTION)(**inputs)

    return call


@pytest.fixture(scope="session")
def nano(run):
    """MODEL, CLIP and VAE of the nano model."""
    return run("SoraLoadModel", checkpoint=NANO)


@pytest.fixture(scope="session")
def prompts(run, nano):
    """Positive and negative conditioning."""
    return run("SoraTextEncode", clip=nano[1], prompt="a red ball rolls left", negative="snow")


@pytest.fixture(scope="session")
def core(nano_file):
    """The same model without ComfyUI."""
    return Sora.load(nano_file)


@pytest.fixture(scope="session")
def grid(run, nano):
    """A small noise grid of an odd size: 10 frames of 75x47 at 12 fps."""

    def make(**changes):
        asked = {"width": 75, "height": 47, "seconds": 0.875, "fps": 12.0} | changes
        return run("SoraNoiseGrid", vae=nano[2], **asked)[0]

    return make


@pytest.fixture(scope="session")
def sample(run, nano, prompts, grid):
    """SoraSampler on the nano model; returns the samples alone."""

    def call(latent=None, **changes):
        settings = {
            "model": nano[0],
            "positive": prompts[0],
            "negative": prompts[1],
            "steps": 4,
            "guidance": 4.0,
            "sampler": "euler",
        }
        latent = grid() if latent is None else latent
        return run("SoraSampler", **(settings | {"latent": latent, "seed": 5} | changes))[0]["samples"]

    return call


@pytest.fixture(scope="session")
def in_windows(comfy, run):
    """A MODEL that sees its latent in windows, each with the latent frame before it in front if `ahead`."""

    def call(model, length, *, overlap, ahead=False):
        settings = {"context_schedule": "standard_static", "context_stride": 1, "closed_loop": False}
        settings |= {"context_length": length, "context_overlap": overlap, "fuse_method": "pyramid", "dim": 2}
        if "causal_window_fix" in comfy.NODE_CLASS_MAPPINGS["ContextWindowsManual"].INPUT_TYPES()["required"]:
            settings["causal_window_fix"] = ahead
        elif ahead:
            pytest.skip("this ComfyUI puts no latent frame in front of a window")
        return run("ContextWindowsManual", model=model, **settings)[0]

    return call


@pytest.fixture(scope="session")
def call_model(nano, prompts):
    """One prediction of the clean latent at noise level 0.3, through ComfyUI's own sampling code."""
    import comfy.samplers

    def call(model, x, sigma=0.3, **changes):
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(changes.get("positive", prompts[0]), prompts[1])
        seen = []

        def step(model_k, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar):
            seen.append(model_k(x, torch.full((len(x),), sigma), **extra_args))
            return seen[0]

        with torch.inference_mode():
            sampler = type("OneStep", (comfy.samplers.Sampler,), {"sample": lambda self, *args: step(*args)})()
            sigmas = torch.tensor([sigma, 0.0])
            return guider.sample(x, x, sampler, sigmas, seed=0, disable_pbar=True)

    return call


@pytest.fixture(scope="session")
def noisy():
    return torch.randn(1, 16, 3, 6, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def clean(core, noisy):
    """What the library predicts for `noisy`."""
    with torch.inference_mode():
        return core.denoiser(["a red ball rolls left"], fps=8.0)(noisy, torch.tensor([0.3]))


@pytest.fixture
def asked_to_stop(comfy):
    """Somebody has pressed stop; the error by which a block says that it heard. Tests to come are not stopped."""
    import comfy.model_management as management

    management.interrupt_current_processing()
    yield management.InterruptProcessingException
    management.interrupt_current_processing(False)


@pytest.fixture(scope="session")
def worlds(comfy):
    """Where plays lie."""
    import folder_paths

    return Path(folder_paths.get_output_directory()) / "sora_worlds"


@pytest.fixture
def play(run, nano, grid, worlds):
    """One play of its own on the nano model: `play(action)` is a press of Run, and returns latent, story, turn and
    VIDEO; `play.folder` is where it lies."""
    name = f"世界 {next(PLAYS)}"

    def press(action="a red ball rolls left", **changes):
        settings = {"model": nano[0], "clip": nano[1], "vae": nano[2], "steps": 2, "sampler": "euler", "seed": 5,
                    "latent": grid(width=20, height=16, seconds=1.0, fps=8.0), "play": name}  # fmt: skip
        video, latent, story, turn = run("SoraPlayWorld", action=action, **(settings | changes))
        return latent, story, turn, video

    press.name, press.folder = name, worlds / name
    return press
