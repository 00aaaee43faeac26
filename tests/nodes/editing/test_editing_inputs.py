"""What the editing blocks take on Sora nano: videos, images, masks and latents, at their own size and rate."""

from pathlib import Path

import pytest
import torch

from sora_core.sound import RATE, Soundtrack, read_sound
from sora_core.video import VideoReader


def test_a_video_and_its_frames_give_the_same(run, nano, video):
    frames = video.get_components().images
    first, second = (run("SoraExtendVideo", vae=nano[2], video=movie, fps=0.0)[0] for movie in (video, frames))
    assert torch.equal(first["samples"], second["samples"])
    assert first["sora_size"] == second["sora_size"]


def test_images_of_another_size_are_cropped_to_the_grid(run, nano, even_grid):
    image = torch.rand(1, 90, 30, 3, generator=torch.Generator().manual_seed(0))
    (latent,) = run("SoraPlaceFrames", vae=nano[2], latent=even_grid, frames=image)
    assert latent["samples"].shape == even_grid["samples"].shape
    assert latent["sora_size"] == even_grid["sora_size"]


def test_a_video_is_placed_at_its_own_speed(run, nano, even_grid, video):
    frames = video.get_components().images
    fast = run("CreateVideo", images=frames.repeat_interleave(3, 0), fps=24.0)[0]
    placed, expected = (
        run("SoraPlaceFrames", vae=nano[2], latent=even_grid, frames=movie)[0] for movie in (fast, frames)
    )
    torch.testing.assert_close(placed["samples"], expected["samples"])
    assert torch.equal(placed["noise_mask"], expected["noise_mask"])


def test_a_size_that_is_no_longer_the_latents_own_is_not_trusted(run, nano, even_grid):
    larger = run("LatentUpscale", samples=even_grid, upscale_method="bilinear", width=64, height=64, crop="disabled")[0]
    assert "sora_size" in larger
    _, frames = run("SoraDecodeLoop", vae=nano[2], latent=larger)
    assert frames.shape[1:3] == (64, 64)
    cut = {**run("SoraNoiseGrid", vae=nano[2], width=32, height=32, seconds=2.0, fps=24.0)[0]}
    cut["samples"] = torch.ones_like(cut["samples"][:, :, :3])
    longer, *_ = run("SoraExtendVideo", vae=nano[2], video=cut, seconds=1.0)
    assert longer["sora_size"]["fps"] == 24
    assert longer["sora_size"]["num_frames"] == 9 + 24
    movie = run("SoraDecodeVideo", vae=nano[2], latent=cut)[0]
    assert movie.get_components().frame_rate == 24


def test_of_a_video_that_goes_on_only_the_context_is_held_in_memory(run, nano, pack, video, monkeypatch):
    held, floats = [], pack.nodes.movie.to_floats
    monkeypatch.setattr(pack.nodes.movie, "to_floats", lambda pixels: held.append(len(pixels)) or floats(pixels))
    images = video.get_components().images
    given = {"vae": nano[2], "seconds": 1.0}
    latent, overlap, note = run("SoraExtendVideo", video=video, context=1.0, **given)
    assert (held, overlap) == ([8], 5 / 8)
    assert "the video's first 12 are not repeated" in note
    assert torch.equal(latent["samples"], run("SoraExtendVideo", video=images[-8:], **given)[0]["samples"])
    latent, *_ = run("SoraExtendVideo", video=video, context=1.0, direction="backward", **given)
    alone, *_ = run("SoraExtendVideo", video=images[:8], direction="backward", **given)
    assert held == [8] * 4
    assert torch.equal(latent["samples"], alone["samples"])


def test_a_black_mask_is_told(run, nano, even_grid, caplog):
    """Load Image gives one, of 64x64, beside every image without transparency."""
    given = {"vae": nano[2], "latent": even_grid, "frames": torch.rand(1, 32, 32, 3)}
    run("SoraPlaceFrames", mask=torch.ones(1, 64, 64), **given)
    assert "the mask is black" not in caplog.text
    (latent,) = run("SoraPlaceFrames", mask=torch.zeros(1, 64, 64), **given)
    assert bool((latent["noise_mask"] == 1).all())
    assert "the mask is black everywhere, which chooses nothing" in caplog.text


def test_masks_are_one_or_one_for_each_frame(run, nano, even_grid, sample):
    samples = sample(even_grid)
    given = {"model": nano[0], "vae": nano[2], "video": {**even_grid, "samples": samples}}
    masks = torch.zeros(17, 32, 32)
    masks[9:, :, :16] = 1
    _, latent, _ = run("SoraEditVideo", mask=masks, **given)
    assert latent["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 0, 1, 1]
    assert not latent["noise_mask"][..., 2:].any()
    with pytest.raises(ValueError, match="the mask holds 3 pictures; give one for the whole video, or 17, one for"):
        run("SoraEditVideo", mask=masks[:3], **given)
    with pytest.raises(ValueError, match="the mask holds 17 pictures; give one for the whole video"):
        run("SoraPlaceFrames", vae=nano[2], latent=even_grid, frames=torch.rand(1, 32, 32, 3), mask=masks)


def test_a_mask_is_stretched_with_the_preview_that_is_finished_in_a_slightly_other_shape(run, nano):
    mask = torch.zeros(1, 20, 22)
    mask[..., 0] = 1
    given = {"model": nano[0], "vae": nano[2], "video": torch.rand(5, 20, 22, 3)}
    _, latent, _ = run("SoraEditVideo", mask=mask, width=40, height=40, **given)
    assert bool((latent["noise_mask"][..., 0] == 1).all())


def test_an_edit_keeps_the_sound_of_its_video(run, nano, even_grid, sample):
    heard = {**even_grid, "samples": sample(even_grid), "sora_sound": Soundtrack(Path("film.mp4"))}
    _, latent, _ = run("SoraEditVideo", model=nano[0], vae=nano[2], video=heard)
    assert latent["sora_sound"] == heard["sora_sound"]


def test_a_held_last_frame_is_not_taken_for_video(run, nano, video):
    frames = video.get_components().images[:14]
    encoded, _ = run("SoraEncodeVideo", vae=nano[2], video=run("CreateVideo", images=frames, fps=8.0)[0])
    latent, overlap, note = run("SoraExtendVideo", vae=nano[2], video=encoded, seconds=1.0)
    assert (latent["sora_size"]["num_frames"], overlap) == (14 + 8, 14 / 8)
    assert note.startswith("frames 0 to 12 of 22 are given")
    assert latent["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    _, edited, _ = run("SoraEditVideo", model=nano[0], vae=nano[2], video=frames, fps=8.0)
    assert run("SoraExtendVideo", vae=nano[2], video=edited, seconds=1.0)[1] == 14 / 8


def test_all_that_was_sampled_is_given(run, nano, grid, sample):
    latent = grid(width=32, height=32, seconds=1.0, fps=8.0)
    made = {**latent, "samples": sample(latent)}
    longer, overlap, note = run("SoraExtendVideo", vae=nano[2], video=made, seconds=1.0)
    assert longer["sora_size"]["num_frames"] == 9 + 8
    assert note.startswith("frames 0 to 8 of 17 are given")
    shown, continued = (run("SoraDecodeVideo", vae=nano[2], latent=each)[0] for each in (made, longer))
    assert len(run("SoraJoinVideos", first=shown, second=continued, overlap=overlap)[1]) == 17


def test_frames_that_a_continuation_leaves_out_are_named(run, nano, video):
    *_, note = run("SoraExtendVideo", vae=nano[2], video=video.get_components().images[:16], seconds=1.0)
    assert note.startswith("frames 0 to 12 of 21 are given")
    assert note.endswith("the video's first 3 are not repeated, join it with the overlap")


def test_videos_of_odd_sizes_are_saved(run, tmp_path):
    images = torch.rand(5, 33, 31, 3, generator=torch.Generator().manual_seed(0))
    joined, frames = run("SoraJoinVideos", first=images, second=images)
    joined.save_to(str(tmp_path / "joined.mp4"))
    assert frames.shape == (10, 33, 31, 3)
    with VideoReader(tmp_path / "joined.mp4") as reader:
        assert (reader.num_frames, reader.width, reader.height) == (10, 31, 33)


def test_the_sound_of_an_edited_file_goes_with_its_frames(run, nano, video, tmp_path):
    from comfy_api.latest import InputImpl

    video.save_to(str(tmp_path / "film.mp4"))
    film = InputImpl.VideoFromFile(str(tmp_path / "film.mp4"))
    _, latent, _ = run("SoraEditVideo", model=nano[0], vae=nano[2], video=film)
    assert latent["sora_sound"] == Soundtrack(tmp_path / "film.mp4")
    encoded, _ = run("SoraEncodeVideo", vae=nano[2], video=film)
    _, slower, _ = run("SoraEditVideo", model=nano[0], vae=nano[2], video=encoded, fps=4.0)
    assert "sora_sound" not in slower


def tone(seconds, loudness):
    """Sound of one loudness, as ComfyUI hands it on."""
    wave = torch.sin(torch.arange(round(seconds * 16000)) * 2 * torch.pi * 200 / 16000) * loudness
    return {"waveform": wave[None, None], "sample_rate": 16000}


def loudness(video, *times):
    """How loud a VIDEO is around some seconds of it."""
    sound = torch.nn.functional.pad(read_sound(Path(video.get_stream_source())), (0, 4 * RATE))
    return [float(sound[:, round(t * RATE) :][:, : RATE // 20].abs().max()) for t in times]


@pytest.mark.parametrize("shared", ["cross-fade", "from the first", "from the second"])
def test_sound_of_joined_videos_goes_along(run, shared):
    images = torch.rand(16, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    first, second = (run("CreateVideo", images=images, fps=8.0, audio=tone(2, height))[0] for height in (0.2, 0.8))
    joined, frames = run("SoraJoinVideos", first=first, second=second, overlap=1.0, shared=shared)
    assert len(frames) == 24
    assert loudness(joined, 0.5, 1.5, 2.5) == pytest.approx([0.2, 0.5, 0.8], abs=0.06)
    joined, _ = run("SoraJoinVideos", first=images, second=second, overlap=1.0, shared=shared)
    assert loudness(joined, 0.5, 1.5, 2.5) == pytest.approx([0, 0.8, 0.8], abs=0.05)
    joined, _ = run("SoraJoinVideos", first=images, second=images)
    assert joined.get_components().audio is None


@pytest.mark.parametrize(
    ("direction", "given", "loud"),
    [("forward", "file", (1, 1, 0)), ("both", "file", (0, 1, 0)), ("forward", "latent", (1, 1, 0))],
)
def test_given_frames_of_an_extended_video_keep_their_sound(run, nano, sample, tmp_path, direction, given, loud):
    from comfy_api.latest import InputImpl

    images = torch.rand(17, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    run("CreateVideo", images=images, fps=8.0, audio=tone(4, 0.5))[0].save_to(str(tmp_path / "film.mp4"))
    film = InputImpl.VideoFromFile(str(tmp_path / "film.mp4"))
    if given == "latent":
        film, _ = run("SoraEncodeVideo", vae=nano[2], video=film)
    latent, *_ = run("SoraExtendVideo", vae=nano[2], video=film, seconds=1.0, direction=direction)
    made = run("SoraDecodeVideo", vae=nano[2], latent={**latent, "samples": sample(latent)})[0]
    found = loudness(made, 0.5, 1.7, made.get_duration() - 0.6)
    assert [level > 0.2 for level in found] == [bool(each) for each in loud]


def test_what_a_trimmed_file_has_before_its_part_is_not_heard_beside_new_frames(run, nano, pack, video, monkeypatch):
    part = Soundtrack(Path("film.mp4"), start=5.0)
    monkeypatch.setattr(pack.nodes.editing_media, "sound_in", lambda _: {"sora_sound": part})
    latent, *_ = run("SoraExtendVideo", vae=nano[2], video=video, seconds=1.0, direction="backward")
    new = latent["sora_size"]["num_frames"] / 8 - 17 / 8
    assert latent["sora_sound"] == Soundtrack(part.source, 5 - new, new, 17 / 8 + new)
    again, *_ = run("SoraExtendVideo", vae=nano[2], video=latent, seconds=1.0)
    assert again["sora_sound"] == latent["sora_sound"]


def test_a_video_is_encoded_at_another_rate(run, nano, video):
    images = video.get_components().images
    assert len(images) == 17
    latent, fps = run("SoraEncodeVideo", vae=nano[2], video=video, fps=4.0)
    slower = run("CreateVideo", images=images[:16:2], fps=4.0)[0]
    expected, _ = run("SoraEncodeVideo", vae=nano[2], video=slower)
    assert fps == 4.0
    assert latent["sora_size"] == expected["sora_size"]
    assert torch.equal(latent["samples"], expected["samples"])


@pytest.mark.parametrize("mode", ["blend", "bridge"])
def test_of_connected_videos_only_what_is_shown_is_held_in_memory(run, nano, pack, prompts, monkeypatch, mode):
    images = torch.rand(60, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    ends = {"positive_first": prompts[0], "positive_second": prompts[1], "mode": mode, "seconds": 1.0, "context": 1.0}
    held, floats = [], pack.nodes.movie.to_floats
    monkeypatch.setattr(pack.nodes.movie, "to_floats", lambda pixels: held.append(len(pixels)) or floats(pixels))
    whole, *_ = run("SoraConnectVideos", vae=nano[2], first=images, second=images, **ends)
    part, *_ = run("SoraConnectVideos", vae=nano[2], first=images[30:], second=images[:30], **ends)
    assert max(held) < 30
    assert torch.equal(whole["samples"], part["samples"])
