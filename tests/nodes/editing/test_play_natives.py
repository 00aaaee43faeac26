"""Worlds are played with other models, and their videos are decoded from any frame on."""

from importlib import import_module

import pytest
import torch

from sora_core.framing import framed
from sora_core.shapes import VideoShape


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


@pytest.mark.parametrize("native", ["wan21"], indirect=True)
def test_frames_that_were_decoded_at_once_are_resized_a_few_at_a_time(native, pack):
    decode = import_module(f"{pack.__name__}.nodes.decode")
    size = VideoShape(num_frames=36, height=18, width=18, resized=True)
    latent = torch.randn(1, native.vae.latent_channels, 10, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (whole,) = decode.stream_frames(native.vae, latent, None, 4)
        parts = list(decode.stream_frames(native.vae, latent, size, 4))
    assert [len(part) for part in parts] == [16, 16, 4]
    expected = framed(whole[None, :36].movedim(-1, 1), size).movedim(1, -1)[0]
    torch.testing.assert_close(torch.cat(parts), expected, atol=1e-5, rtol=0)
