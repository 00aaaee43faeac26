"""Text to image through the whole path, from thumbnails to four megapixels and in every orientation."""

import pytest
import torch

from sora_core.checkpoint import build_parts, save_checkpoint
from sora_core.config import DiTConfig, SoraConfig, VAEConfig, preset
from sora_core.randomness import generator

SIZES = [
    (16, 16), (64, 64), (96, 160), (160, 96), (256, 256), (320, 192), (384, 640), (512, 512), (768, 432),
    (1280, 720), (1024, 1024), (2048, 2048),
]  # fmt: skip


@pytest.fixture(scope="module")
def one_block(run, models):
    """A model with a single narrow block: what is tested here are sizes, and attention grows with their square."""
    slim = VAEConfig(encoder_width=(8, 8), decoder_width=(8, 8), encoder_depth=(1, 1), decoder_depth=(1, 1))
    dit = DiTConfig(width=64, depth=1, heads=1, hidden=128, text_width=64)
    config, draws = SoraConfig(name="one block", vae=slim, text=preset("nano").text, dit=dit), generator(0, "sizes")
    parts = build_parts(config)
    for module in parts.values():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.05, generator=draws)
    save_checkpoint(models / "one_block.safetensors", config, {p: m.state_dict() for p, m in parts.items()})
    return run("SoraLoadModel", checkpoint="one_block.safetensors")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_image_has_exactly_the_size_asked_for(run, one_block, width, height):
    model, clip, vae = one_block
    positive, negative = run("SoraTextEncode", clip=clip, prompt="a blue house", negative="")
    latent = run("SoraNoiseGrid", vae=vae, width=width, height=height, seconds=0.0)[0]
    done = run(
        "SoraSampler", model=model, positive=positive, negative=negative, latent=latent, steps=1, guidance=1.0
    )[0]  # fmt: skip
    image = run("VAEDecode", vae=vae, samples=done)[0]
    assert image.shape == (1, height, width, 3)
    assert torch.isfinite(image).all()
    assert image.std() > 0
