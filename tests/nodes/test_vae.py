"""Sora's VAE under stock blocks, and decoding into a file with any VAE."""

import sys

import pytest
import torch

from sora_core.video import VideoReader


@pytest.fixture(scope="module")
def latent():
    return {"samples": torch.randn(2, 16, 4, 6, 10, generator=torch.Generator().manual_seed(2))}


@pytest.fixture(scope="module")
def frames_of():
    """The frames of a VIDEO on file, `t h w 3`, and its rate."""

    def frames(video):
        with VideoReader(video.get_stream_source()) as reader:
            assert video.get_dimensions() == (reader.width, reader.height)
            return torch.cat(list(reader)).float() / 255, reader.fps

    return frames


@pytest.fixture(scope="module")
def wan():
    """A foreign video VAE of ComfyUI, small and untrained: 16 channels, 8 pixels, frames 1 + 4k, the rest dropped."""
    import comfy.ldm.wan.vae
    import comfy.sd

    torch.manual_seed(0)
    network = comfy.ldm.wan.vae.WanVAE(dim=8, z_dim=16, temperal_downsample=[False, True, True])
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return comfy.sd.VAE(sd=network.state_dict())


@pytest.fixture(scope="module")
def image_vae():
    """A foreign VAE that only knows images: ComfyUI's pixel-space one."""
    import comfy.sd

    return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})


def whole(run, nano, latent):
    return run("VAEDecode", vae=nano[2], samples=latent)[0]


def test_what_dynamic_weights_give_back_counts_as_free(pack, nano, latent, monkeypatch):
    """ComfyUI's newer versions leave other models on a card until something needs the room."""
    compat, module = (sys.modules[f"{pack.__name__}.nodes.{name}"] for name in ("compat", "comfy_model.vae"))

    class Dynamic:
        load_device = torch.device("cpu")

        def is_dynamic(self):
            return True

        def get_free_memory(self, device):
            return 5e9

    assert compat.reclaimable_memory(Dynamic()) == 5_000_000_000
    assert compat.reclaimable_memory(nano[2].patcher) is None
    network, seen = nano[2].first_stage_model, []
    decode = type(network).decode
    monkeypatch.setattr(
        network, "decode", lambda part, state: seen.append(part.shape[2]) or decode(network, part, state)
    )
    for free, sizes in ((int(5e9), [4]), (1, [1, 1, 1, 1])):
        monkeypatch.setattr(module, "reclaimable_memory", lambda patcher, free=free: free)
        with torch.inference_mode():
            list(nano[2].decode_stream(latent["samples"][:1], 4))
        assert seen == sizes
        seen.clear()


def test_decode_equals_the_library(run, nano, core, latent):
    with torch.inference_mode():
        expected = core.vae.decode(latent["samples"]).movedim(1, -1).flatten(0, 1)
    torch.testing.assert_close(whole(run, nano, latent), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 3])
def test_streamed_decode_equals_whole(nano, run, latent, chunk):
    with torch.inference_mode():
        parts = [frames[0] for frames in nano[2].decode_stream(latent["samples"][:1], chunk)]
    streamed = torch.cat(parts, dim=1).movedim(0, -1)
    torch.testing.assert_close(streamed, whole(run, nano, latent)[:13], atol=1e-5, rtol=0)
    assert max(part.shape[1] for part in parts) <= 4 * chunk


def test_generated_frames_join_on_to_those_that_the_noise_mask_gives(run, nano, frames_of, latent):
    mask = torch.ones(2, 1, 4, 6, 10)
    mask[1, :, 2:] = 0
    plain, joined, other = (
        frames_of(run("SoraDecodeVideo", vae=nano[2], latent=given, fps=8.0, chunk=4, batch_index=index)[0])[0]
        for given, index in ((latent, 1), ({**latent, "noise_mask": mask}, 1), ({**latent, "noise_mask": mask}, 0))
    )
    moved = (joined - plain).abs().amax((1, 2, 3)) > 0.02
    assert moved[1:5].all()  # the latent frame before the border
    assert not moved[6:].any()
    first = frames_of(run("SoraDecodeVideo", vae=nano[2], latent=latent, fps=8.0, chunk=4, batch_index=0)[0])[0]
    assert torch.equal(other, first)


def test_a_sampled_latent_with_given_frames_is_decoded_after_another_block_has_cut_it(run, nano, frames_of, latent):
    mask = torch.ones(2, 1, 4, 6, 10)
    mask[:, :, 0] = 0
    cut = run("LatentCut", samples={**latent, "noise_mask": mask}, dim="t", index=1, amount=2)[0]
    found, plain = (
        frames_of(run("SoraDecodeVideo", vae=nano[2], latent=each, fps=8.0)[0])[0]
        for each in (cut, {"samples": cut["samples"]})
    )
    assert torch.equal(found, plain)


def test_tiled_decode_agrees(run, nano):
    latent = {"samples": torch.randn(1, 16, 2, 12, 20, generator=torch.Generator().manual_seed(0))}
    tiled = run(
        "VAEDecodeTiled", vae=nano[2], samples=latent, tile_size=96, overlap=32, temporal_size=64, temporal_overlap=8
    )[0]
    assert tiled.shape == (5, 96, 160, 3)
    assert (tiled - whole(run, nano, latent)).abs().mean() < 0.01


def test_encode_takes_any_number_of_frames_and_equals_the_library(run, nano, core):
    video = torch.rand(7, 48, 80, 3)
    found = run("VAEEncode", vae=nano[2], pixels=video)[0]["samples"]
    padded = torch.cat([video, video[-1:], video[-1:]])
    with torch.inference_mode():
        expected = core.vae.encode(padded.movedim(-1, 0)[None])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_image_is_the_first_latent_of_its_video(run, nano):
    video = torch.rand(5, 48, 80, 3)
    image = run("VAEEncode", vae=nano[2], pixels=video[:1])[0]["samples"]
    both = run("VAEEncode", vae=nano[2], pixels=video)[0]["samples"]
    torch.testing.assert_close(image[:, :, 0], both[:, :, 0], atol=1e-5, rtol=0)


def test_tiled_encode_has_the_same_shape(run, nano):
    latent = run(
        "VAEEncodeTiled", vae=nano[2], pixels=torch.rand(9, 96, 160, 3), tile_size=64, overlap=32, temporal_size=16,
        temporal_overlap=8,
    )[0]["samples"]  # fmt: skip
    assert latent.shape == (1, 16, 3, 12, 20)


@pytest.mark.parametrize(("width", "height", "frames"), [(65, 47, 7), (1, 1, 1), (128, 16, 6)])
def test_video_has_exactly_the_size_asked_for(run, nano, sample, frames_of, width, height, frames):
    latent = run("SoraNoiseGrid", vae=nano[2], width=width, height=height, seconds=frames / 8, fps=8.0)[0]
    done = {**latent, "samples": sample(latent, steps=1)}
    images, rate = frames_of(run("SoraDecodeVideo", vae=nano[2], latent=done)[0])
    assert images.shape == (frames, height, width, 3)
    assert rate == 8


def test_progress_is_told_as_a_video_is_encoded(run, nano, monkeypatch):
    told = []
    monkeypatch.setattr("comfy.utils.PROGRESS_BAR_HOOK", lambda value, total, *_, **__: told.append((value, total)))
    video = run("CreateVideo", images=torch.zeros(21, 32, 32, 3), fps=8.0)[0]
    run("SoraEncodeVideo", vae=nano[2], video=video)
    assert told == [(16, 21), (21, 21)]


def test_file_shows_what_vae_decode_shows(run, nano, latent, frames_of):
    images, rate = frames_of(run("SoraDecodeVideo", vae=nano[2], latent=latent, fps=12.5, batch_index=1)[0])
    assert rate == 12.5
    assert images.shape == (13, 48, 80, 3)
    # Colour is stored at half resolution, so brightness is what can be compared; an untrained decoder paints noise.
    grey = images.mean(-1).flatten()
    first, second = (video.mean(-1).flatten() for video in whole(run, nano, latent).split(13))
    assert torch.corrcoef(torch.stack([grey, second]))[0, 1] > 0.75
    assert torch.corrcoef(torch.stack([grey, first]))[0, 1] < 0.5


def test_latent_that_another_block_changed_is_not_cropped(run, nano, frames_of, grid):
    latent = grid()
    longer = {**latent, "samples": torch.randn(1, 16, 5, 8, 8)}
    images, rate = frames_of(run("SoraDecodeVideo", vae=nano[2], latent=longer, fps=8.0)[0])
    assert images.shape == (17, 64, 64, 3)
    assert rate == 8


@pytest.mark.parametrize(("codec", "pixel_format"), [("vp9", "yuv444p"), ("h264", "yuv420p10le")])
def test_the_file_has_the_codec_and_pixel_format_asked_for(run, nano, latent, codec, pixel_format):
    import av

    options = {"codec": codec, "crf": 40, "pixel_format": pixel_format}
    video = run("SoraDecodeVideo", vae=nano[2], latent=latent, fps=8.0, **options)[0]
    with av.open(video.get_stream_source()) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name.removeprefix("lib") == codec
        assert stream.pix_fmt == pixel_format
    assert video.get_duration() == pytest.approx(13 / 8)


def test_unknown_rate_and_index_are_refused(run, nano, latent):
    with pytest.raises(ValueError, match="did not come from one: set fps"):
        run("SoraDecodeVideo", vae=nano[2], latent=latent)
    with pytest.raises(ValueError, match="batch_index is 2 and the latent holds 2: use 0 to 1"):
        run("SoraDecodeVideo", vae=nano[2], latent=latent, fps=8.0, batch_index=2)


def test_interrupted_decode_leaves_no_file(run, nano, latent, asked_to_stop):
    from pathlib import Path

    import folder_paths

    temp = Path(folder_paths.get_temp_directory())
    before = set(temp.iterdir()) if temp.is_dir() else set()
    with pytest.raises(asked_to_stop):
        run("SoraDecodeVideo", vae=nano[2], latent=latent, fps=8.0, chunk=1)
    assert set(temp.iterdir() if temp.is_dir() else ()) == before


@pytest.mark.parametrize(("frames", "cells"), [(1, 1), (2, 2), (7, 3), (9, 3)])
def test_grid_of_a_foreign_video_vae_holds_every_frame(run, wan, frames_of, frames, cells):
    latent = run("SoraNoiseGrid", vae=wan, width=40, height=24, seconds=frames / 8, fps=8.0)[0]
    assert latent["samples"].shape == (1, 16, cells, 4, 6)
    images, _ = frames_of(run("SoraDecodeVideo", vae=wan, latent=latent)[0])
    assert images.shape == (frames, 24, 40, 3)


def test_a_latent_of_another_vae_gets_one_sentence(run, wan):
    other = {"samples": torch.zeros(1, 48, 3, 4, 4)}
    with pytest.raises(ValueError, match="has 48 channels; this VAE decodes 16: connect the VAE of the model that"):
        run("SoraDecodeVideo", vae=wan, latent=other, fps=8.0)


def test_the_latent_of_an_image_is_a_video_of_one_frame(run, nano, wan, frames_of):
    for vae in (nano[2], wan):
        samples = torch.randn(2, 16, 4, 6, generator=torch.Generator().manual_seed(0))
        made = [
            frames_of(run("SoraDecodeVideo", vae=vae, latent={"samples": one}, fps=8.0, batch_index=1)[0])[0]
            for one in (samples, samples.unsqueeze(2))
        ]
        assert made[0].shape == (1, 32, 48, 3)
        assert torch.equal(*made)


def test_image_vae_gives_an_image_grid_and_refuses_video(run, image_vae, frames_of):
    latent = run("SoraNoiseGrid", vae=image_vae, width=10, height=6, seconds=0.0)[0]
    assert latent["samples"].shape == (1, 3, 6, 10)
    assert frames_of(run("SoraDecodeVideo", vae=image_vae, latent=latent)[0])[0].shape == (1, 6, 10, 3)
    one, several = ({"samples": torch.rand(1, 3, frames, 6, 10)} for frames in (1, 3))
    shown = frames_of(run("SoraDecodeVideo", vae=image_vae, latent=one, fps=8.0)[0])[0]
    assert shown.shape == (1, 6, 10, 3)
    with pytest.raises(ValueError, match="only knows images and the latent is a video of 3 latent frames"):
        run("SoraDecodeVideo", vae=image_vae, latent=several, fps=8.0)
    with pytest.raises(ValueError, match="only knows images and cannot hold 16 frames: set seconds to 0"):
        run("SoraNoiseGrid", vae=image_vae, seconds=2.0)
