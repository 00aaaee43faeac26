"""From a small video to a large one in tiles and windows: exact size and length, and tiles agree with the whole."""

import dataclasses
from copy import deepcopy
from itertools import pairwise

import pytest
import torch

from sora_core.editing.final import final_video
from sora_core.editing.tiles import blended, fitting_tile, tile_starts, tiled
from sora_core.pipeline import Sora
from sora_core.shapes import LatentShape, VideoShape

PATCH = (1, 2, 2)
SHAPE = VideoShape(num_frames=22, height=70, width=100)


@pytest.fixture
def preview(make_clip):
    return make_clip(22, height=35, width=50)[0].movedim(0, -1).split(5)  # chunks t h w 3


@pytest.mark.parametrize(("size", "tile", "overlap"), [(30, 8, 2), (9, 8, 2), (8, 8, 0), (136, 56, 7), (240, 32, 4)])
def test_tiles_cover_everything_with_enough_overlap(size, tile, overlap):
    starts = tile_starts(size, tile, overlap, 1)
    assert starts[0] == 0
    assert starts[-1] == max(0, size - tile)
    assert all(b - a <= tile - overlap for a, b in pairwise(starts))
    even = tile_starts(size // 2 * 2, tile, overlap, 2)
    assert all(start % 2 == 0 for start in even)
    assert even[-1] + tile >= size // 2 * 2


def test_tiles_that_begin_with_patches_share_what_they_are_to_share_and_are_all_different():
    for size, tile, overlap in ((14, 4, 1), (20, 8, 1), (240, 60, 7), (38, 20, 15)):
        starts = tile_starts(size, tile, overlap, 2)
        assert all(0 < b - a <= max(2, tile - overlap) for a, b in pairwise(starts)), (size, tile, overlap, starts)


def test_a_frame_of_no_whole_number_of_patches_is_covered_to_its_last_row_and_column(draws):
    x = torch.randn(1, 4, 2, 21, 13, generator=draws)  # other models than Sora fill up such patches themselves
    torch.testing.assert_close(blended(x, 8, 2, (2, 2), lambda rows, columns: x[..., rows, columns]), x)


@pytest.mark.parametrize("levels", ["global", "each"])
def test_tiles_of_a_model_that_looks_at_each_place_alone_equal_the_whole(exact, draws, levels):
    x = torch.randn(1, 4, 3, 20, 14, generator=draws)
    sigma = torch.full((1,), 0.6) if levels == "global" else torch.rand(1, 3 * 10 * 7, generator=draws)
    torch.testing.assert_close(tiled(exact, 8, 2, PATCH)(x, sigma), exact(x, sigma), atol=1e-5, rtol=0)


def test_no_tile_is_larger_than_asked_for(draws):
    seen = []

    def model(x, sigma):
        seen.append(x.shape[3:])
        return x

    tiled(model, 8, 2, PATCH)(torch.randn(1, 4, 2, 20, 6), torch.ones(1))
    assert set(seen) == {(8, 6)}
    assert len(seen) == 3


def test_tiles_are_chosen_by_the_number_of_tokens():
    hd = LatentShape(channels=48, frames=61, height=136, width=240)
    assert fitting_tile(hd, 5, PATCH, 8160 * 5) is None
    side = fitting_tile(hd, 5, PATCH, 4096)
    assert 5 * (side // 2) ** 2 <= 4096 < 5 * (side // 2 + 1) ** 2


def test_final_video_has_exactly_the_frames_and_the_size(sora, preview, few):
    seen = []
    parts = list(final_video(sora, preview, "a red ball", SHAPE, 0, window=1.0, tile=8, sampling=few,
                             report=lambda window, count: seen.append((window.number, count))))  # fmt: skip
    video = torch.cat(parts)
    assert video.shape == (22, 70, 100, 3)
    assert len(seen) == seen[0][1] > 2
    assert max(len(part) for part in parts) <= 4


def test_strength_0_is_the_enlarged_preview_through_the_compression(sora, preview, few):
    from sora_core.editing.preview import enlarge
    from sora_core.vae.chunks import whole_cells

    found = torch.cat(list(final_video(sora, preview, "", SHAPE, 0, strength=0.0, window=1.0, sampling=few)))
    larger = enlarge(torch.cat(list(preview)).movedim(-1, 0)[None], 70, 100)[0].movedim(0, -1)
    with torch.inference_mode():
        latent = torch.cat(list(sora.vae.encode_chunks(whole_cells([larger], sora.config.vae.compression))), dim=2)
        expected = sora.vae.decode(latent)[0, :, :22, 5:75, 6:106].movedim(0, -1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_seed_decides_the_final_video(sora, preview, few):
    one, two = (
        torch.cat(list(final_video(sora, preview, "", SHAPE, seed, window=1.0, tile=8, sampling=few)))
        for seed in (0, 1)
    )
    assert (one - two).abs().max() > 1e-3
    again = torch.cat(list(final_video(sora, preview, "", SHAPE, 0, window=1.0, tile=8, sampling=few)))
    assert torch.equal(one, again)


def test_a_run_that_was_stopped_goes_on_from_its_last_window(sora, preview, few, tmp_path):
    steps = []
    counted = dataclasses.replace(few, callback=lambda _: steps.append(1))
    options = {"window": 1.0, "tile": 8, "sampling": counted}
    whole = torch.cat(list(final_video(sora, preview, "", SHAPE, 0, **options)))
    all_steps = len(steps)

    frames = final_video(sora, preview, "", SHAPE, 0, state=tmp_path / "windows", **options)
    while len(list(tmp_path.glob("windows/*"))) < 2:
        next(frames)
    frames.close()
    steps.clear()
    again = torch.cat(list(final_video(sora, preview, "", SHAPE, 0, state=tmp_path / "windows", **options)))
    assert torch.equal(again, whole)
    assert 0 < len(steps) < all_steps
    with pytest.raises(ValueError, match=r"00000\.safetensors is the state of a video with other settings"):
        list(final_video(sora, preview, "another prompt", SHAPE, 0, state=tmp_path / "windows", **options))
    other = Sora(sora.config, sora.dit, sora.vae, deepcopy(sora.text))
    next(other.text.parameters()).add_(1)
    with pytest.raises(ValueError, match="other settings"):
        list(final_video(other, preview, "", SHAPE, 0, state=tmp_path / "windows", **options))


def test_a_preview_that_is_too_short_or_of_another_shape_is_refused(sora, preview, few):
    with pytest.raises(ValueError, match="fewer frames"):
        list(final_video(sora, preview[:1], "", SHAPE, 0, sampling=few))
    wide = VideoShape(num_frames=22, height=70, width=300)
    with pytest.raises(ValueError, match="choose 300x210"):
        list(final_video(sora, preview, "", wide, 0, sampling=few))
    with pytest.raises(ValueError, match=r"strength is 2"):
        list(final_video(sora, preview, "", SHAPE, 0, strength=2))
