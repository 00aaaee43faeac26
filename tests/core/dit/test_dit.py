"""The transformer: packed equals separate, every token has its own noise level, positions are physical."""

import pytest
import torch

from sora_core.config import DiTConfig
from sora_core.dit import DiT
from sora_core.dit.rope import rotations
from sora_core.patches import patchify, positions, still_tokens, unpatchify
from sora_core.shapes import Compression

CLIPS = {"image": (1, 4, 6, 8.0), "portrait clip": (3, 8, 4, 8.0), "wide clip": (2, 4, 10, 16.0)}
"""Latent frames, height, width and frame rate."""


@pytest.fixture(scope="module")
def dit(nano):
    return nano.dit


@pytest.fixture(scope="module")
def texts(nano):
    return nano.text.encode(["a red ball", "", "一只蓝色的鸭子 in the sea"])


def latents(draws):
    return [torch.randn(1, 16, t, h, w, generator=draws) for t, h, w, _ in CLIPS.values()]


def row_of(dit, videos):
    """The arguments of `packed` for videos of any size in one row."""
    parts = []
    for video, (t, h, w, fps) in zip(videos, CLIPS.values(), strict=True):
        where = positions((t, h, w), dit.config.patch, dit.compression, fps)
        parts.append(
            (
                patchify(video, dit.config.patch)[0],
                *rotations(where, dit.config.head_dim),
                still_tokens((t, h, w), (1, 2, 2)),
            )
        )
    tokens, cos, sin, still = (torch.cat(column) for column in zip(*parts, strict=True))
    return tokens, cos, sin, still, tuple(len(part[0]) for part in parts)


@torch.inference_mode()
@pytest.mark.parametrize("own_levels", [False, True])
def test_a_packed_row_of_mixed_sizes_equals_separate_passes(dit, texts, draws, own_levels):
    videos, (states, mask) = latents(draws), texts
    tokens, cos, sin, still, lengths = row_of(dit, videos)
    if own_levels:
        sigma = torch.rand(len(tokens), generator=draws)
        levels = [part[None] for part in sigma.split(lengths)]
    else:
        levels = [torch.tensor([s]) for s in (0.9, 0.5, 0.1)]
        sigma = torch.cat([level.expand(n) for level, n in zip(levels, lengths, strict=True)])
    packed = dit.packed(tokens, sigma, cos, sin, still, states, mask, lengths)
    for i, (video, (t, h, w, fps)) in enumerate(zip(videos, CLIPS.values(), strict=True)):
        alone = dit(video, levels[i], states[i : i + 1], mask[i : i + 1], fps=fps)
        together = unpatchify(packed.split(lengths)[i][None], (t, h // 2, w // 2), (1, 2, 2))
        assert alone.std() > 0.1
        assert (alone - together).abs().max() < 1e-5


@torch.inference_mode()
def test_a_batch_equals_its_samples(dit, texts, draws):
    states, mask = texts
    video, sigma = torch.randn(3, 16, 2, 4, 4, generator=draws), torch.tensor([0.2, 0.2, 0.8])
    batch = dit(video, sigma, states, mask)
    for i in range(3):
        one = slice(i, i + 1)
        assert (dit(video[one], sigma[one], states[one], mask[one]) - batch[one]).abs().max() < 1e-5


@torch.inference_mode()
def test_one_level_per_patch_equals_one_level_for_all_when_they_agree(dit, texts, draws):
    states, mask = (x[:1] for x in texts)
    video = torch.randn(1, 16, 2, 4, 4, generator=draws)
    one = dit(video, torch.tensor([0.37]), states, mask)
    each = dit(video, torch.full((1, 8), 0.37), states, mask)
    assert (one - each).abs().max() < 1e-6
    levels = torch.full((1, 8), 0.37)
    levels[0, 3] = 0.0
    assert (dit(video, levels, states, mask) - one).abs().max() > 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("what", ["text", "sigma", "fps", "still"])
def test_the_prediction_depends_on(dit, texts, draws, what):
    states, mask = texts
    video, sigma = torch.randn(1, 16, 5, 4, 4, generator=draws), torch.tensor([0.5])
    base = dit(video, sigma, states[:1], mask[:1])
    other = {
        "text": lambda: dit(video, sigma, states[2:], mask[2:]),
        "sigma": lambda: dit(video, sigma / 2, states[:1], mask[:1]),
        "fps": lambda: dit(video, sigma, states[:1], mask[:1], fps=24.0),
        "still": lambda: dit(video, sigma, states[:1], mask[:1], circular=True),
    }[what]()
    assert (other - base).abs().max() > 1e-3


@torch.inference_mode()
def test_padding_of_the_text_changes_nothing(dit, texts, draws):
    states, mask = (x[:1] for x in texts)
    words = int(mask.sum())
    video, sigma = torch.randn(1, 16, 1, 4, 4, generator=draws), torch.tensor([0.5])
    cut = dit(video, sigma, states[:, :words], mask[:, :words])
    assert (dit(video, sigma, states + 5 * ~mask[..., None], mask) - cut).abs().max() < 1e-5


@torch.inference_mode()
def test_circular_mode_rolls_the_prediction_with_the_noise(dit, texts, draws):
    states, mask = (x[:1] for x in texts)
    video, sigma = torch.randn(1, 16, 5, 4, 6, generator=draws), torch.tensor([0.6])
    base = dit(video, sigma, states, mask, circular=True)
    rolled = dit(video.roll(2, 2), sigma, states, mask, circular=True)
    assert (rolled - base.roll(2, 2)).abs().max() < 1e-5
    assert (dit(video.roll(2, 2), sigma, states, mask) - dit(video, sigma, states, mask).roll(2, 2)).abs().max() > 1e-2


@torch.inference_mode()
def test_when_a_clip_begins_does_not_matter_only_the_time_between_its_frames(dit, texts, draws):
    states, mask = (x[:1] for x in texts)
    video, sigma = torch.randn(1, 16, 3, 4, 4, generator=draws), torch.tensor([0.6])
    early, late = (dit(video, sigma, states, mask, start=start) for start in (0.0, 3.7))
    assert (early - late).abs().max() < 1e-4


def test_a_new_network_predicts_zero(draws):
    config = DiTConfig(width=128, depth=2, heads=2, hidden=192, text_width=64)
    dit = DiT(config, Compression(time=4, space=8))
    dit.initialise(draws)
    text, mask = torch.randn(1, 5, 64, generator=draws), torch.ones(1, 5, dtype=torch.bool)
    output = dit(torch.randn(1, 16, 2, 4, 4, generator=draws), torch.tensor([0.5]), text, mask)
    assert output.abs().max() == 0
    assert all(torch.isfinite(p).all() for p in dit.parameters())


def test_initialisation_depends_on_the_generator_alone(draws):
    def weights(seed):
        dit = DiT(DiTConfig(width=128, depth=1, heads=2, hidden=192, text_width=64), Compression(time=4, space=8))
        dit.initialise(torch.Generator().manual_seed(seed))
        return torch.cat([p.flatten() for p in dit.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 4, 1, 4, 4), "the latent has 4 channels; this model denoises 16"),
        ((1, 16, 1, 5, 4), r"a latent of \(1, 5, 4\) \(t, h, w\) is not a whole number of \(1, 2, 2\) patches"),
    ],
)
def test_latents_that_do_not_fit_are_refused(dit, texts, shape, sentence):
    states, mask = (x[:1] for x in texts)
    with pytest.raises(ValueError, match=sentence):
        dit(torch.zeros(shape), torch.ones(1), states, mask)


def test_training_works_after_sampling_at_the_same_size(dit, texts, draws):
    video, sigma, states, mask = torch.randn(1, 16, 1, 6, 6, generator=draws), torch.tensor([0.7]), *texts
    with torch.inference_mode():
        dit(video, sigma, states[:1], mask[:1])
    video.requires_grad_()
    dit(video, sigma, states[:1], mask[:1]).sum().backward()
    assert video.grad.abs().max() > 0


def test_one_code_compiles_to_full_graphs_for_any_grid_and_noise_levels(draws):
    dit = DiT(DiTConfig(width=128, depth=1, heads=2, hidden=192, text_width=64), Compression(time=4, space=8))
    for parameter in dit.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=draws)
    states, mask = torch.randn(2, 5, 64, generator=draws), torch.ones(2, 5, dtype=torch.bool)
    torch._dynamo.reset()
    compiled = torch.compile(dit, fullgraph=True, backend="aot_eager", dynamic=False)
    one, two, each = torch.tensor([0.7]), torch.tensor([0.7, 0.2]), torch.rand(2, 18, generator=draws)
    for (t, h, w), sigma in (((1, 4, 4), one), ((3, 4, 6), one), ((3, 4, 6), two), ((3, 4, 6), each)):
        b = len(sigma)
        video = torch.randn(b, 16, t, h, w, generator=draws)
        with torch.inference_mode():
            error = compiled(video, sigma, states[:b], mask[:b]) - dit(video, sigma, states[:b], mask[:b])
        assert error.abs().max() < 1e-5
