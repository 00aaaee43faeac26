"""The whole system on the nano model: exact sizes, repeatable videos, streamed decoding, refused requests."""

import re
from dataclasses import replace

import pytest
import torch

from sora_core.diffusion.conditioning import Known
from sora_core.editing import recipes
from sora_core.editing.regenerate import Sampling
from sora_core.pipeline import Sora
from sora_core.shapes import VideoShape

SHAPE = VideoShape(num_frames=7, height=47, width=65)


def sample(nano, prompts, seeds, **options):
    return nano.sample(prompts, SHAPE, seeds, steps=3, **options)


def frames(nano, latent, **options):
    return torch.cat(list(nano.decode(latent, SHAPE, **options)), dim=1)


def test_odd_sizes_come_out_exactly_in_any_chunks(nano):
    latent = sample(nano, ["a red ball"], [1])
    assert latent.shape == (1, 16, 3, 6, 10)
    video = frames(nano, latent)
    assert video.shape == (3, 7, 47, 65)
    assert 0 <= video.min() < video.max() <= 1
    for chunk in (1, 2):
        assert (frames(nano, latent, chunk=chunk) - video).abs().max() < 1e-5


def test_the_same_seed_is_the_same_video_in_any_batch(nano):
    alone = sample(nano, ["a red ball"], [5])
    batch = sample(nano, ["a blue car", "a red ball", "雪人"], [4, 5, 6])
    assert (batch[1:2] - alone).abs().max() < 1e-4
    assert (batch[:1] - alone).abs().max() > 0.1
    assert torch.equal(sample(nano, ["a red ball"], [5]), alone)


def test_the_same_seed_is_the_same_video_with_any_number_of_threads(nano):
    threads = torch.get_num_threads()
    videos = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            videos.append(frames(nano, sample(nano, ["a red ball"], [5])))
    finally:
        torch.set_num_threads(threads)
    assert (videos[0] - videos[1]).abs().max() < 1e-4


def test_guidance_ends_where_the_model_says_unless_something_is_there_already(nano):
    config = replace(nano.config, dit=replace(nano.config.dit, guided_above=0.7))
    model = Sora(config, nano.dit, nano.vae, nano.text)
    assert model.guided_levels() == (0.7, 1.0)
    assert model.guided_levels(0.8) == (0.0, 1.0)
    shape = VideoShape(num_frames=5, height=32, width=32, fps=8)
    ended, told, full = (
        model.sample(["snow"], shape, [1], steps=4, interval=interval) for interval in (None, (0.7, 1.0), (0.0, 1.0))
    )
    assert torch.equal(ended, told)
    assert not torch.equal(ended, full)


@pytest.mark.parametrize("change", [{"seeds": [6]}, {"prompts": ["snow"]}, {"guidance": 1.0}, {"negative": "night"}])
def test_every_input_changes_the_video(nano, change):
    base = {"prompts": ["a red ball"], "seeds": [5]}
    assert (sample(nano, **base) - sample(nano, **{**base, **change})).abs().max() > 1e-3


def test_known_frames_are_returned_unchanged(nano, draws):
    clean, mask = torch.randn(1, 16, 3, 6, 10, generator=draws), torch.ones(1, 1, 3, 6, 10)
    mask[:, :, 0] = 0
    latent = sample(nano, ["a red ball"], [5], known=Known(clean, mask))
    assert torch.equal(latent[:, :, 0], clean[:, :, 0])
    assert (latent - sample(nano, ["a red ball"], [5])).abs()[:, :, 1:].max() > 1e-3


def test_a_loop_rolls_with_its_noise(nano, draws):
    noise = torch.randn(1, 16, 4, 4, 4, generator=draws)
    denoise, sigma = nano.denoiser(["a red ball"], fps=8.0, circular=True), torch.tensor([0.8])
    with torch.inference_mode():
        assert (denoise(noise.roll(1, 2), sigma) - denoise(noise, sigma).roll(1, 2)).abs().max() < 1e-5


def test_a_sampled_loop_is_as_long_as_one_of_the_recipe(nano):
    shape = VideoShape(num_frames=8, height=32, width=32)
    latent = nano.sample(["a red ball"], shape, [5], steps=1, circular=True)
    assert latent.shape == recipes.loop(nano, "a red ball", shape, 5, sampling=Sampling(steps=1)).shape
    assert nano.frames(latent, circular=True).shape[2] == 8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seeds": [1, 2]}, "there are 1 prompts and 2 seeds"),
        ({"sampler": "magic"}, "no sampler 'magic'; choose euler, heun, dpmpp_2m"),
        ({"steps": 0}, "steps is 0; sampling needs at least 1"),
        ({"guidance": float("nan")}, "guidance is nan; it must be a finite number"),
        ({"prompts": "a red ball"}, "prompts are 'a red ball'; give a list"),
        ({"prompts": [], "seeds": []}, r"prompts are \[\]; give a list of one or more"),
        (
            {"known": Known(torch.zeros(1, 16, 2, 6, 10), torch.ones(1, 1, 2, 6, 10))},
            r"what is given is a latent of \(16, 2, 6, 10\) \(c, t, h, w\), but the video's is \(16, 3, 6, 10\)",
        ),
        ({"shape": VideoShape(num_frames=1, height=10**6, width=10**6)}, "above the limit of 4,000,000: one frame of"),
    ],
)
def test_impossible_requests_get_one_sentence(nano, change, sentence):
    request = {"prompts": ["a"], "shape": SHAPE, "seeds": [1], **change}
    with pytest.raises(ValueError, match=sentence) as caught:
        nano.sample(**request)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fps", [0, -8.0, float("inf"), float("nan")])
def test_an_edit_at_no_frame_rate_is_refused(nano, fps):
    with pytest.raises(ValueError, match=r"fps is .*; it must be a positive number"):
        recipes.edit_video(nano, torch.zeros(1, 16, 2, 4, 4), "snow", fps, 1, sampling=Sampling(steps=1))


def test_every_latent_needs_its_own_text(nano):
    x, sigma = torch.zeros(1, 16, 2, 4, 4), torch.ones(1)
    with pytest.raises(ValueError, match="there are 2 texts for 1 latents; give one text for each latent"):
        nano.denoiser(["snow", "sea"], fps=8.0)(x, sigma)
    with pytest.raises(ValueError, match="prompts are 'snow'; give a list"):
        nano.denoiser("snow", fps=8.0)
    known = Known(torch.zeros(2, 16, 3, 6, 10), torch.ones(2, 1, 3, 6, 10))
    with pytest.raises(ValueError, match="there are 1 texts for 2 latents"):
        sample(nano, ["a red ball"], [5], known=known)


def test_a_model_is_loaded_by_its_name_too(nano, nano_file):
    assert Sora.load(str(nano_file)).config == nano.config


@pytest.mark.parametrize(
    "given",
    [
        torch.zeros(1, 3, 5, 32, 32, dtype=torch.uint8), torch.zeros(5, 32, 32, 3), torch.zeros(1, 5, 32, 32, 3),
        torch.zeros(1, 4, 5, 32, 32),
    ],
)  # fmt: skip
def test_frames_as_a_file_holds_them_are_refused_with_the_way_to_videos(nano, given):
    for request in (
        lambda: nano.encode(given),
        lambda: recipes.encode(nano, given),
        lambda: recipes.animate(nano, given, "snow", SHAPE, 1),
        lambda: recipes.extend_video(nano, given, "snow", 8.0, 1, after=1.0),
        lambda: recipes.connect(nano, given, given, ("snow", "sea"), 8.0, 1),
        lambda: recipes.finish_preview(nano, given, "snow", 64, 64, 8.0, 1),
    ):
        with pytest.raises(ValueError, match=r"the video is \(.*; it must be \(b, 3, t, h, w\), floats in \[0, 1\]"):
            request()


@pytest.mark.parametrize("change", [{"num_frames": 10}, {"height": 49}, {"width": 100}])
def test_a_latent_of_less_than_is_asked_for_is_not_decoded(nano, change):
    latent = sample(nano, ["a red ball"], [1])
    with pytest.raises(ValueError, match=r"the latent holds 9 frames of 80x48; .* are asked for"):
        next(nano.decode(latent, replace(SHAPE, **change)))


@pytest.mark.parametrize("count", [2, None])
def test_other_than_the_latent_of_one_video_is_not_decoded(nano, count):
    latent = torch.zeros(16, 3, 6, 10) if count is None else torch.zeros(count, 16, 3, 6, 10)
    with pytest.raises(ValueError, match=r"the latent is \(.*, 3, 6, 10\); it must be that of one video"):
        next(nano.decode(latent, SHAPE))
    with pytest.raises(ValueError, match="chunk is 0; it must be at least 1 latent frame"):
        next(nano.decode(latent, SHAPE, 0))


def test_half_precision_makes_the_same_video(nano, nano_file):
    half = Sora.load(nano_file, dtype=torch.bfloat16)
    assert half.dit.entry.weight.dtype == torch.bfloat16
    latent, exact = (sample(model, ["a red ball"], [1]) for model in (half, nano))
    assert latent.dtype == torch.float32
    assert (latent - exact).abs().mean() < 0.05 * exact.abs().mean()
    video = frames(half, latent)
    assert video.dtype == torch.float32
    assert (video - frames(nano, latent)).abs().mean() < 0.01
    longer, _ = recipes.extend_video(half, video[None, :, :5, :32, :32], "a red ball", 8.0, 0, after=0.5)
    assert torch.isfinite(longer).all()


def test_the_python_of_the_readme_runs(root, tmp_path, monkeypatch):
    (program,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(program, names)
    assert names["video"].shape == names["loop"].shape == (1, 3, 8, 64, 64)
    assert names["longer"].shape == (1, 3, 16, 64, 64)
