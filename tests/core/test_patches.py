"""Patches: nothing is lost on the way to tokens, and every token knows where it is."""

import random

import pytest
import torch

from sora_core.patches import Segments, patchify, positions, still_tokens, unpatchify
from sora_core.shapes import Compression

MINI = Compression(time=4, space=8)


def test_patchify_round_trip_is_exact_on_200_random_sizes(draws):
    numbers = random.Random(2)
    for _ in range(200):
        patch = tuple(numbers.choice((1, 2, 3)) for _ in range(3))
        grid = tuple(numbers.randint(1, 6) for _ in range(3))
        batch, channels = numbers.randint(1, 3), numbers.randint(1, 5)
        cells = (size * p for size, p in zip(grid, patch, strict=True))
        latent = torch.randn(batch, channels, *cells, generator=draws)
        tokens = patchify(latent, patch)
        assert tokens.shape == (batch, grid[0] * grid[1] * grid[2], channels * patch[0] * patch[1] * patch[2])
        assert torch.equal(unpatchify(tokens, grid, patch), latent)


def test_a_token_holds_one_patch_and_tokens_run_along_time_rows_columns():
    latent = torch.arange(2 * 3 * 4 * 6).float().reshape(1, 2, 3, 4, 6)
    tokens = patchify(latent, (1, 2, 2))
    expected = latent[0, :, 1, 2:4, 4:6].flatten()
    assert torch.equal(tokens[0, 1 * 2 * 3 + 1 * 3 + 2], expected)


def test_positions_are_seconds_and_cells_from_the_centre():
    where = positions((3, 4, 6), (1, 2, 2), MINI, fps=8.0).reshape(3, 2, 3, 3)
    # Frame 0 alone, then frames 1-4 and 5-8: their centres in seconds.
    assert where[:, 0, 0, 0].tolist() == [0.5 / 8, 3 / 8, 7 / 8]
    assert where[0, :, 0, 1].tolist() == [-1, 1]
    assert where[0, 0, :, 2].tolist() == [-2, 0, 2]


def test_doubling_the_frame_rate_halves_the_seconds_and_leaves_space():
    slow, fast = (positions((4, 4, 4), (1, 2, 2), MINI, fps=fps) for fps in (8.0, 16.0))
    assert torch.allclose(slow[:, 0], 2 * fast[:, 0])
    assert torch.equal(slow[:, 1:], fast[:, 1:])


def test_portrait_and_landscape_share_their_centre():
    tall, wide = (positions((1, h, w), (1, 2, 2), MINI, fps=8.0) for h, w in ((8, 4), (4, 8)))
    assert torch.equal(tall[:, 1].unique(), wide[:, 2].unique())
    assert set(map(tuple, wide[:, 1:].tolist())) == {(x, y) for y, x in tall[:, 1:].tolist()}


def test_a_circular_clip_has_no_still_token_and_equal_steps():
    where = positions((5, 2, 2), (1, 2, 2), MINI, fps=8.0, circular=True)
    assert torch.allclose(where[:, 0].diff(), torch.tensor(0.5))
    assert not still_tokens((5, 4, 4), (1, 2, 2), circular=True).any()
    assert still_tokens((5, 4, 4), (1, 2, 2)).tolist() == [True] * 4 + [False] * 16


@pytest.mark.parametrize("lengths", [(5,), (3, 3, 3), (3, 4, 4, 3), (1, 2, 2, 2, 9)])
def test_runs_of_segments_cover_the_row_in_order(lengths):
    segments = Segments(lengths)
    covered = [(start + i * n, n) for start, count, n in segments.groups() for i in range(count)]
    assert covered == list(zip(segments.starts, lengths, strict=True))
    assert segments.uniform == (len(segments.groups()) == 1)
