"""Two videos into one: their ends stay, and everything between moves from the first to the second."""

import pytest
import torch

from sora_core.editing import recipes
from sora_core.editing.connect import blend, bridge, curve, led
from sora_core.editing.resample import renoise, resample
from sora_core.editing.timed import timed, timeline_weights
from sora_core.shapes import VideoShape
from sora_core.text.timeline import parse


@pytest.fixture(scope="module")
def videos(make_clip):
    return make_clip(17, 1), make_clip(17, 2)


@pytest.mark.parametrize("mode", ["bridge", "blend"])
def test_ends_are_kept_and_the_middle_is_made(sora, few, videos, mode):
    latent, plan = recipes.connect(sora, *videos, ("a ball", "a cube"), 8, 0, mode=mode, sampling=few)
    given = plan.known.mask[0, 0, :, 0, 0] == 0
    assert plan.first == range(5)
    assert len(plan.second) == 8
    assert latent.shape[2] == len(given)
    assert torch.equal(latent[:, :, given], plan.known.clean[:, :, given])
    assert given.tolist() == sorted(given[:3].tolist(), reverse=True) + sorted(given[3:].tolist())
    assert (plan.weights.diff() >= 0).all()
    assert plan.weights[0] == 0
    assert plan.weights[-1] == 1


def test_a_bridge_gives_the_last_frames_of_a_and_the_first_of_b(sora, geometry, videos):
    a, b = videos
    plan = bridge(geometry, sora.vae.encode, a, b, 8, 9)
    assert torch.equal(plan.known.clean[:, :, :3], sora.vae.encode(a[:, :, -9:]))
    assert plan.second == range(17, 26)
    # B's latents stand behind B's own stillness: decoded alone they are B.
    assert plan.known.mask[0, 0, :, 0, 0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]


def test_a_blend_is_free_in_the_middle_and_bound_at_its_borders(sora, geometry, videos):
    plan = blend(geometry, sora.vae.encode, *videos, 8, 5)
    mask = plan.known.mask[0, 0, :, 0, 0]
    assert mask[0] == mask[1] == mask[-1] == 0
    assert mask.max() <= 1
    assert mask[2:4].min() > 0.5
    assert plan.num_frames == 18
    # A's last 13 frames are 5 that stay and 8 that are mixed with B's first 8, which 5 follow.
    assert plan.replaces == (13, 13)


def test_a_blend_of_a_video_with_itself_is_that_video(sora, geometry, make_clip):
    still = make_clip(1).expand(-1, -1, 17, -1, -1)
    plan = blend(geometry, sora.vae.encode, still, still, 8, 5)
    assert torch.allclose(plan.known.clean, sora.vae.encode(make_clip(1).expand(-1, -1, 21, -1, -1)), atol=1e-5)


def test_a_transition_is_led_by_its_colours_and_draws_its_own_detail(sora, geometry, videos):
    plan = bridge(geometry, sora.vae.encode, *videos, 8, 5)
    free = plan.known.mask > 0
    denoised = torch.randn(plan.known.clean.shape, generator=torch.Generator().manual_seed(0))
    found = led(denoised, plan.course, plan.known.mask)
    assert torch.equal(found[:, :, ~free[0, 0, :, 0, 0]], denoised[:, :, ~free[0, 0, :, 0, 0]])
    assert (found - denoised).abs().mean() > 0.1


def test_the_course_of_a_bridge_goes_from_one_still_to_the_other(sora, geometry, make_clip):
    a, b = make_clip(9, 1), make_clip(9, 2)
    plan = bridge(geometry, sora.vae.encode, a, b, 16, 5, "linear")
    still = [sora.vae.encode(x.expand(-1, -1, 29, -1, -1)) for x in (a[:, :, -1:], b[:, :, :1])]
    near = [(plan.course - x).square().mean((0, 1, 3, 4)) for x in still]
    assert (near[0].diff() >= -1e-6).all()
    assert (near[1][1:].diff() <= 1e-6).all()
    assert near[1][0] > 0.1
    assert near[0][0] < 1e-4
    assert near[1][-1] < 1e-2


def test_unfit_pairs_get_one_sentence(sora, geometry, videos, make_clip):
    a, b = videos
    with pytest.raises(ValueError, match="the videos are 32x32 and 48x32; resize one"):
        bridge(geometry, sora.vae.encode, a, make_clip(17, 0, 32, 48), 4, 5)
    with pytest.raises(ValueError, match="context is 20 frames; it must be 1 to 17"):
        bridge(geometry, sora.vae.encode, a, b, 4, 20)
    with pytest.raises(ValueError, match="the first video has 17 frames but 9 of context and 12 of overlap"):
        blend(geometry, sora.vae.encode, a, b, 12, 9)
    for peak in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"peak is {peak}; it must be between 0"):
            blend(geometry, sora.vae.encode, a, b, 4, 5, peak=peak)
    with pytest.raises(ValueError, match="no way 'fade' to connect"):
        recipes.connect(sora, a, b, ("", ""), 8, 0, mode="fade")
    with pytest.raises(ValueError, match="no curve 'cubic'"):
        curve(torch.zeros(1), "cubic")


def test_prompts_hold_at_their_times(geometry):
    weights = timeline_weights(parse("[0-1s] a\n[1-2s] b"), geometry, 5, 8, 0)
    assert weights.tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    with pytest.raises(ValueError, match=r'"b" begins at 1 s but the video lasts 0\.625 s'):
        timeline_weights(parse("[0-1s] a\n[1-2s] b"), geometry, 2, 8)


def test_a_timeline_mixes_predictions_frame_by_frame():
    models = [lambda x, sigma, v=v: torch.full_like(x, v) for v in (1.0, 3.0)]
    mixed = timed(models, torch.tensor([[1, 0.5, 0], [0, 0.5, 1]]))(torch.zeros(1, 2, 3, 2, 2), torch.ones(1))
    assert mixed[0, 0, :, 0, 0].tolist() == [1, 2, 3]


def test_a_timeline_of_one_prompt_is_that_prompt(sora, few):
    shape = VideoShape(num_frames=9, height=32, width=32)
    one = recipes.timeline(sora, "[0-2s] a red ball", shape, 4, sampling=few)
    assert torch.equal(one, sora.sample(["a red ball"], shape, [4], steps=3))
    two = recipes.timeline(sora, "[0-0.5s] a red ball\n[0.5-2s] a blue cube", shape, 4, sampling=few)
    assert (one - two).abs().max() > 1e-3


def test_renoising_has_the_statistics_of_its_level():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.full((1, 4, 32, 32, 8), 2.0), torch.randn(1, 4, 32, 32, 8, generator=generator)
    x = renoise(0.7 * clean + 0.3 * noise, torch.tensor(0.3), torch.tensor(0.6), generator)
    assert abs(float(x.mean()) - 0.4 * 2) < 0.01
    assert abs(float(x.std()) - 0.6) < 0.01


def test_resampling_ends_at_the_prediction_and_counts_its_evaluations():
    calls = []

    def model(x, sigma):
        calls.append(float(sigma))
        return torch.full_like(x, 3.0)

    sigmas = torch.tensor([0.9, 0.5, 0.0])
    x = resample(model, torch.zeros(1, 1, 1, 2, 2), sigmas, torch.Generator().manual_seed(0), repeats=3)
    assert torch.equal(x, torch.full_like(x, 3.0))
    assert len(calls) == 4  # nothing is repeated when the next level is 0
    seen = []
    start = torch.zeros(1, 1, 1, 2, 2)
    resample(model, start, sigmas, torch.Generator().manual_seed(0), repeats=1, callback=seen.append)
    assert torch.equal(seen[0]["x"], start)
    assert torch.allclose(seen[1]["x"], torch.full_like(start, 3 - 3 * 0.5 / 0.9))
    with pytest.raises(ValueError, match="repeats is 0"):
        resample(model, x, sigmas, torch.Generator(), repeats=0)
