"""One meaning on every ComfyUI: sampled and decoded numbers are those that 0.3.75 gave, and one file asks for versions.

Import checks cannot see that a newer ComfyUI scales, shifts or clamps something differently; the numbers can. They come
from random weights of the smallest model, so training changes none of them. SORA_RENEW_SUMS=1 writes them anew.
"""

import json
import os
import re
from pathlib import Path

import pytest
import torch

SUMS = Path(__file__).with_name("sampled_sums.json")
SAMPLERS = ("euler", "heun", "dpmpp_2m")
STOCK = ("euler", "dpmpp_2m", "uni_pc", "res_multistep")


def figures(tensor):
    """What a shift, a scale, a clamp or another order of frames would change."""
    values = tensor.double()
    return [values.sum().item(), values.abs().sum().item(), values.std().item(), values.flatten()[::97].sum().item()]


def lcm(run, nano, prompts, latent):
    """Sampled with the noise that 0.3.75 adds on the way; newer versions add noise of the next seed on a CPU."""
    import comfy.samplers

    draws = torch.Generator().manual_seed(5)
    sampler = comfy.samplers.ksampler(
        "lcm", {"noise_sampler": lambda sigma, following: torch.randn(latent["samples"].shape, generator=draws)}
    )
    (sigmas,) = run("BasicScheduler", model=nano[0], scheduler="simple", steps=4, denoise=1.0)
    return run(
        "SamplerCustom", model=nano[0], add_noise=True, noise_seed=5, cfg=4.0, positive=prompts[0],
        negative=prompts[1], sampler=sampler, sigmas=sigmas, latent_image=latent,
    )[0]  # fmt: skip


@pytest.fixture(scope="module")
def measured(run, sample, nano, prompts, grid):
    found = {f"SoraSampler {name}": figures(sample(sampler=name)) for name in SAMPLERS}
    for name in STOCK:
        (latent,) = run(
            "KSampler", model=nano[0], seed=5, steps=4, cfg=4.0, sampler_name=name, scheduler="simple",
            positive=prompts[0], negative=prompts[1], latent_image=grid(), denoise=1.0,
        )  # fmt: skip
        found[f"KSampler {name}"] = figures(latent["samples"])
    found["SamplerCustom lcm"] = figures(lcm(run, nano, prompts, grid())["samples"])
    latent = sample()
    found["VAEDecode"] = figures(run("VAEDecode", vae=nano[2], samples={"samples": latent})[0])
    (pixels,) = run("VAEDecode", vae=nano[2], samples={"samples": latent})
    found["VAEEncode"] = figures(run("VAEEncode", vae=nano[2], pixels=pixels)[0]["samples"])
    found["SoraTextEncode"] = figures(prompts[0][0][0])
    if os.environ.get("SORA_RENEW_SUMS"):
        SUMS.write_text(json.dumps(found, indent=1) + "\n")
    return found


def test_numbers_are_those_of_every_comfyui(measured):
    promised = json.loads(SUMS.read_text())
    assert set(measured) == set(promised)
    for name, values in promised.items():
        assert measured[name] == pytest.approx(values, rel=1e-3, abs=1e-2), name


def test_one_file_asks_which_version_this_is(root):
    asks = re.compile(
        r"inspect\.signature|hasattr\(comfy|getattr\((?:comfy|module|management|io)\b|comfyui_version|__version__"
    )
    for path in (root / "nodes").rglob("*.py"):
        if path.name != "compat.py":
            assert not asks.search(path.read_text("utf-8")), f"{path.name} asks what this ComfyUI can do"
