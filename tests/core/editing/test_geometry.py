"""Frames and latent frames, asked from ratios of every kind of VAE that ComfyUI knows."""

import math
from itertools import pairwise

import pytest
import torch

from sora_core.editing.geometry import Geometry, frame_at
from sora_core.shapes import Compression


def causal(time: int) -> Geometry:
    """Ratios as Wan, LTX and Cosmos give them: rounding down, 1 + time * k."""
    return Geometry(
        channels=16, space=8, to_latent=lambda n: math.floor((n + time - 1) / time),
        to_frames=lambda k: max(0, k * time - time + 1),
    )  # fmt: skip


GEOMETRIES = {
    "sora": Geometry.of(Compression(time=4, space=8), 16),
    "wan": causal(4), "mochi": causal(6), "ltx": causal(8),
    # 5 frames are 2 latents, and every 17 frames after them 5 more.
    "irregular": Geometry(
        channels=24, space=16, to_latent=lambda n: 2 + 5 * max(0, (n - 5) // 17),
        to_frames=lambda k: 5 + 17 * ((k - 2) // 5) + [0, 4, 8, 11, 14][(k - 2) % 5] if k >= 2 else 1,
    ),
    "plain": Geometry(channels=16, space=8, to_latent=lambda n: math.ceil(n / 4), to_frames=lambda k: 4 * k),
    "image": Geometry(channels=4, space=8, to_latent=lambda n: n, to_frames=lambda k: k),
}  # fmt: skip


@pytest.fixture(params=GEOMETRIES)
def any_geometry(request):
    return GEOMETRIES[request.param]


@pytest.mark.parametrize("num_frames", [1, 2, 5, 16, 17, 18, 81, 97])
def test_the_latent_holds_all_frames_and_is_the_smallest_that_does(any_geometry, num_frames):
    k = any_geometry.latent_frames(num_frames)
    assert any_geometry.num_frames(k) >= num_frames
    smaller = [j for j in range(1, k) if any_geometry.valid(j) == j]
    assert all(any_geometry.num_frames(j) < num_frames for j in smaller)


def test_spans_follow_each_other_without_gap(any_geometry):
    spans = [any_geometry.span(j) for j in range(9)]
    assert spans[0][0] == 0
    assert all(stop == start for (_, stop), (start, _) in pairwise(spans))
    for frame in range(spans[-1][1]):
        start, stop = any_geometry.span(any_geometry.cell_of(frame))
        assert start <= frame < stop


def test_whole_cells_lie_within_and_are_all(any_geometry):
    for start in range(12):
        for stop in range(start, 24):
            inside = [j for j in range(30) if any_geometry.span(j)[0] >= start and any_geometry.span(j)[1] <= stop]
            assert list(any_geometry.whole_cells(start, stop)) == inside


def test_whole_frames_fill_their_cells(any_geometry):
    for n in range(5, 40):
        whole = any_geometry.whole_frames(n)
        assert whole <= n
        assert any_geometry.num_frames(any_geometry.latent_frames(whole)) == whole


def test_a_cell_is_given_only_if_all_its_frames_are():
    mask = torch.ones(17)
    mask[8:] = 0
    assert GEOMETRIES["wan"].latent_mask(mask).tolist() == [1, 1, 1, 0, 0]


def test_a_region_covers_whole_tokens():
    mask = torch.zeros(1, 32, 48)
    mask[:, 3, 40] = 1
    region = GEOMETRIES["wan"].latent_region(mask)
    assert region.shape == (1, 4, 6)
    assert region[0, :2, 4:].eq(1).all()
    assert region.sum() == 4


def test_times_count_from_both_ends():
    assert [frame_at(s, 17, 8) for s in (0, 1, 2, -0.01, -0.125, -1, -2.125)] == [0, 8, 16, 16, 16, 9, 0]


@pytest.mark.parametrize("seconds", [2.1, -2.2, 100])
def test_a_time_outside_names_the_times_that_exist(seconds):
    with pytest.raises(ValueError, match=r"outside the video; its 17 frames at 8 fps are at 0 to 2 s"):
        frame_at(seconds, 17, 8)
