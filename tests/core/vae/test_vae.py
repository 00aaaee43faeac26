"""The compression network: streams equal wholes, an image is the first latent of its clip, the past stays as it is."""

import pytest
import torch

from sora_core.config import VAEConfig
from sora_core.vae import StreamState, VideoVAE


@pytest.fixture(scope="module")
def vae(nano):
    return nano.vae


def clip(draws, frames, height=32, width=48):
    return torch.rand(2, 3, frames, height, width, generator=draws)


@torch.inference_mode()
@pytest.mark.parametrize("pieces", [[5, 4, 8], [1, 16], [1, 4, 4, 4, 4], [13, 4]])
def test_chunked_encode_equals_whole(vae, draws, pieces):
    video = clip(draws, sum(pieces))
    chunked = torch.cat(list(vae.encode_chunks(video.split(pieces, dim=2))), dim=2)
    assert (chunked - vae.encode(video)).abs().max() < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunked_decode_equals_whole(vae, draws, chunk):
    latent = torch.randn(2, 16, 7, 4, 5, generator=draws)
    chunks = list(vae.decode_chunks(latent, chunk))
    assert max(part.shape[2] for part in chunks) <= 4 * chunk
    assert (torch.cat(chunks, dim=2) - vae.decode(latent)).abs().max() < 1e-5


@torch.inference_mode()
def test_an_image_is_the_first_latent_of_every_clip_that_begins_with_it(vae, draws):
    video = clip(draws, 13)
    assert (vae.encode(video[:, :, :1]) - vae.encode(video)[:, :, :1]).abs().max() < 1e-5


@torch.inference_mode()
def test_the_future_never_changes_the_past(vae, draws):
    video, other = clip(draws, 17), clip(draws, 17)
    other[:, :, :9] = video[:, :, :9]
    assert (vae.encode(video)[:, :, :3] - vae.encode(other)[:, :, :3]).abs().max() < 1e-5
    latent = vae.encode(video)
    changed = torch.cat([latent[:, :, :3], 3 * latent[:, :, 3:]], dim=2)
    # Only deblocking looks ahead: the last frame of a latent frame moves towards the next one.
    assert (vae.decode(latent)[:, :, :8] - vae.decode(changed)[:, :, :8]).abs().max() < 1e-5
    assert (vae.decode(latent)[:, :, 9:] - vae.decode(changed)[:, :, 9:]).abs().max() > 1e-3


@torch.inference_mode()
def test_samples_of_a_batch_do_not_mix(vae, draws):
    video = clip(draws, 5)
    assert (vae.encode(video)[1:] - vae.encode(video[1:])).abs().max() < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("shift", [1, 3])
def test_circular_decode_shifts_with_its_latent(vae, draws, shift):
    latent = torch.randn(1, 16, 5, 3, 4, generator=draws)
    video = vae.decode_circular(latent)
    assert video.shape == (1, 3, 20, 24, 32)
    shifted = vae.decode_circular(latent.roll(shift, 2))
    assert (shifted - video.roll(4 * shift, 2)).abs().max() < 1e-5


@torch.inference_mode()
def test_the_context_is_the_past_that_a_frame_depends_on(vae, draws):
    latent = torch.randn(1, 16, vae.context + 3, 2, 2, generator=draws)
    changed = latent.clone()
    changed[:, :, 0] += 5
    difference = (vae.decode(latent) - vae.decode(changed)).abs().amax((0, 1, 3, 4))
    assert difference[1 + 4 * vae.context :].max() == 0
    assert difference[:5].max() > 1e-3


@torch.inference_mode()
def test_decoded_pixels_are_in_range(vae, draws):
    video = vae.decode(30 * torch.randn(1, 16, 3, 2, 2, generator=draws))
    assert video.shape == (1, 3, 9, 16, 16)
    assert 0 <= video.min() < video.max() <= 1


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 3, 4, 16, 16), "t must be 1 . a multiple of 4"),
        ((1, 3, 5, 16, 17), "h and w multiples of 8"),
        ((1, 4, 5, 16, 16), r"\(4, 5, 16, 16\) \(3, t, h, w\) is not whole cells"),
    ],
)
def test_videos_that_are_not_whole_cells_are_refused(vae, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        vae.encode(torch.zeros(shape))


def test_later_chunks_are_whole_cells_without_the_first_frame(vae):
    state = StreamState()
    with torch.inference_mode():
        vae.encode(torch.zeros(1, 3, 1, 8, 8), state)
        with pytest.raises(ValueError, match="t must be a multiple of 4"):
            vae.encode(torch.zeros(1, 3, 5, 8, 8), state)


def test_latents_of_another_model_are_refused(vae):
    with pytest.raises(ValueError, match="the latent has 4 channels; this VAE decodes 16"):
        vae.decode(torch.zeros(1, 4, 1, 2, 2))


def test_a_new_network_is_its_linear_shortcut_alone(draws):
    config = VAEConfig(encoder_width=(16, 32), decoder_width=(16, 32), encoder_depth=(1, 1), decoder_depth=(1, 1))
    vae = VideoVAE(config).eval()
    vae.initialise(draws)
    a, b = torch.randn(2, 1, 16, 2, 2, 2, generator=draws)
    with torch.inference_mode():
        x, y, both = (vae.decoder(z, None) for z in (a, b, a + b))
        zero = vae.decoder(torch.zeros_like(a), None)
    assert (both + zero - x - y).abs().max() < 1e-5


@torch.inference_mode()
def test_preview_colours_are_the_mean_colour_of_each_cell(draws):
    vae = VideoVAE(VAEConfig(encoder_width=(16, 32), decoder_width=(16, 32)))
    vae.initialise(draws)  # without residual branches the linear map is exact; training mode does not clamp
    latent = torch.randn(1, 16, 3, 2, 2, generator=draws)
    factors, bias = vae.latent_rgb()
    guess = torch.einsum("bcthw,cr->brthw", latent, factors) + bias[:, None, None, None]
    video = vae.decode(latent) * 2 - 1
    cells = video[:, :, 1:].reshape(1, 3, 2, 4, 2, 8, 2, 8).mean((3, 5, 7))
    assert (cells - guess[:, :, 1:]).abs().max() < 1e-5
