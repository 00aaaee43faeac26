"""Sizes and durations: anything possible is rounded and said, anything impossible gets one sentence."""

import math

import pytest
import torch


@pytest.fixture
def make(run, nano):
    def call(**inputs):
        return run("SoraNoiseGrid", vae=nano[2], **inputs)

    return call


def test_defaults_are_two_seconds(make):
    latent, note = make()
    assert latent["samples"].shape == (1, 16, 5, 16, 16)
    assert note == (
        "16 frames at 8 fps of 128x128, 320 tokens;"
        " 16 frames of 128x128 are generated as 17 frames of 128x128 and cropped"
    )
    assert latent["sora_size"] == {"num_frames": 16, "height": 128, "width": 128, "fps": 8.0, "resized": True}


def test_a_size_between_patches_is_generated_whole(make):
    latent, note = make(width=54, height=118, seconds=0.0)
    assert latent["samples"].shape[-2:] == (18, 8)
    assert note.endswith("1 frame of 54x118 is generated as 1 frame of 64x144 and resized")


def test_zero_seconds_is_a_still_image(make):
    latent, note = make(seconds=0.0, batch=3)
    assert latent["samples"].shape == (3, 16, 1, 16, 16)
    assert note == "a still image of 128x128, 64 tokens"


@pytest.mark.parametrize("aspect", ["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9"])
def test_aspect_keeps_the_area(make, aspect):
    size = make(width=512, height=512, aspect=aspect, seconds=0.0)[0]["sora_size"]
    wide, high = (int(n) for n in aspect.split(":"))
    assert size["width"] % 16 == size["height"] % 16 == 0
    assert size["width"] / size["height"] == pytest.approx(wide / high, rel=0.05)
    assert size["width"] * size["height"] == pytest.approx(512 * 512, rel=0.05)


def test_like_takes_the_size_of_frames(run, nano):
    latent, note = run("SoraNoiseGridLike", vae=nano[2], frames=torch.zeros(7, 47, 65, 3), fps=24.0, batch=2)
    assert latent["samples"].shape == (2, 16, 3, 6, 8)
    assert latent["sora_size"] == {"num_frames": 7, "height": 47, "width": 65, "fps": 24.0, "resized": True}
    assert "7 frames of 65x47 are generated as 9 frames of 64x48" in note


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"seconds": math.nan}, "seconds is nan; it must be 0"),
        ({"fps": math.nan}, "fps is nan; it must be a positive number, for instance 8"),
        ({"width": 0}, "width is 0; it must be at least 1"),
        (
            {"width": 4096, "height": 4096, "seconds": 600.0},
            "limit of 4,000,000: 241 frames of that size fit",
        ),
    ],
)
def test_impossible_requests_are_one_sentence(make, inputs, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        make(**inputs)
    assert "\n" not in str(caught.value)


def test_sound_vae_is_refused(run):
    vae = type("SoundVAE", (), {"latent_dim": 1})()
    with pytest.raises(ValueError, match="1-dimensional latents: connect one for images or video"):
        run("SoraNoiseGrid", vae=vae)
    vae = type("AceStepVAE", (), {"latent_dim": 2, "output_channels": 2})()
    with pytest.raises(ValueError, match="makes sound of 2 channels: connect one for images or video"):
        run("SoraNoiseGrid", vae=vae)
