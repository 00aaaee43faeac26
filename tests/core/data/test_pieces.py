"""Clips in memory become training data as they are: every frame, at its own aspect, with its own words."""

import math

import pytest
import torch

from sora_core.config import preset
from sora_core.data.pieces import Piece, cut, encode_pieces, resized, size_for
from sora_core.pipeline import Sora
from sora_core.shapes import Compression

CELLS = Compression(time=4, space=8)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((32, 48), (32, 48)), ((1080, 1920), (128, 224)), ((1920, 1080), (224, 128)), ((60, 100), (64, 96)),
     ((16, 400), (16, 400)), ((129, 129), (128, 128))],
)  # fmt: skip
def test_sizes_keep_their_aspect(size, expected):
    found = size_for(*size, side=128, step=16)
    assert found == expected
    assert math.log(found[0] / found[1]) == pytest.approx(math.log(size[0] / size[1]), abs=16 / 2 / min(found))


def test_frames_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match="its frames are 40x8 pixels; the smallest that the model sees are 16x16"):
        size_for(8, 40, side=128, step=16)


def test_frames_that_fit_are_not_touched():
    frames = torch.randint(256, (2, 32, 48, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert torch.equal(resized(frames, 32, 48), frames)
    assert torch.equal(resized(frames / 255, 32, 48), frames)


def test_resized_frames_are_cropped_in_the_middle_and_not_stretched():
    frames = torch.zeros(1, 64, 200, 3)
    frames[:, 16:48, 84:116] = 1  # a square
    rows, columns = (resized(frames, 32, 96)[0, ..., 0] > 127).nonzero().unbind(1)
    assert (rows.min(), rows.max()) == (8, 23)
    assert (columns.min(), columns.max()) == (40, 55)


def test_frames_without_numbers_are_refused():
    with pytest.raises(ValueError, match="hold NaN or infinite numbers"):
        resized(torch.full((1, 16, 16, 3), math.nan), 16, 16)


@pytest.mark.parametrize(
    ("frames", "seconds", "starts", "length"),
    [(17, 2.0, [0], 17), (16, 2.0, [0, 3], 13), (40, 2.0, [0, 12, 23], 17), (5, 2.0, [0], 5), (4, 2.0, [0, 1, 2, 3], 1),
     (1, 2.0, [0], 1), (3, 0.0, [0, 1, 2], 1), (9, 0.5, [0, 4], 5)],
)  # fmt: skip
def test_every_frame_is_in_a_piece_and_none_is_made_up(frames, seconds, starts, length):
    clip = torch.arange(frames, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 1, 3)
    parts = cut(clip, seconds, 8.0, CELLS)
    assert [int(part[0, 0, 0, 0]) for part in parts] == starts
    assert {len(part) for part in parts} == {length}
    assert torch.cat(parts).unique().tolist() == list(range(frames))


def test_clips_without_frames_and_wrong_times_are_refused():
    with pytest.raises(ValueError, match="it holds no frames"):
        cut(torch.zeros(0, 16, 16, 3), 2.0, 8.0, CELLS)
    with pytest.raises(ValueError, match="seconds is nan"):
        cut(torch.zeros(5, 16, 16, 3), math.nan, 8.0, CELLS)


def test_pieces_are_encoded_in_groups_with_their_captions(nano_file, monkeypatch):
    vae, draws = Sora.load(nano_file).vae, torch.Generator().manual_seed(0)
    sizes = [(5, 32, 48), (1, 16, 16), (5, 32, 48), (5, 32, 48)]
    pieces = [
        Piece(torch.randint(256, (*size, 3), generator=draws, dtype=torch.uint8), str(n))
        for n, size in enumerate(sizes)
    ]
    monkeypatch.setattr("sora_core.data.pieces.MOST_PIXELS", 2 * 5 * 32 * 48)
    shards = list(encode_pieces(vae, pieces, 8.0))
    assert [shard.captions for shard in shards] == [(("0",), ("2",)), (("3",),), (("1",),)]
    channels = preset("nano").vae.channels
    assert shards[0].clips.shape == (2, 2, channels, 2, 4, 6)
    assert shards[2].pictures.shape == (1, 2, 1, channels, 1, 2, 2)  # the only frame there is
    with torch.no_grad():
        expected = vae.encode(pieces[2].frames.movedim(-1, 0)[None].float() / 255)[0]
    torch.testing.assert_close(shards[0].clips[1, 0].float(), expected, atol=1e-2, rtol=1e-3)
