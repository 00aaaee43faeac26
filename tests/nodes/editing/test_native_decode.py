"""Decoding in overlapping parts, for videos that do not fit in memory: every frame once, borders hardly seen."""

import pytest
import torch


@pytest.fixture(scope="module")
def decoding(pack):
    return pack.nodes.native_decode


def test_parts_have_every_frame_and_equal_the_whole_away_from_borders(native, pack, decoding):
    cells = pack.nodes.native.compression(native.vae)
    latent = torch.randn(1, native.vae.latent_channels, 14, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = decoding.decoded(native.vae, latent)
        found = torch.cat(list(decoding.decode_parts(native.vae, latent, cells, 5)))
    assert found.shape == whole.shape
    error = (found - whole).abs().flatten(1).amax(1)
    print(f"{native.name}: largest difference {error.max():.1e}, {int((error > 1e-3).sum())} of {len(error)} frames")
    assert error[: cells.num_frames(5)].max() < 1e-4, "the first part has all its past"
    if native.name != "wan21":  # with random weights, what is long past counts as much as the present
        assert error.mean() < 0.05


def test_a_video_that_fits_is_decoded_whole_and_one_that_does_not_in_parts(native, pack, decoding, monkeypatch):
    cells = pack.nodes.native.compression(native.vae)
    latent = torch.randn(1, native.vae.latent_channels, 9, 2, 2)
    with torch.inference_mode():
        assert len(list(decoding.decode_native(native.vae, latent, cells, 4))) == 1
        monkeypatch.setattr(decoding, "fits", lambda *_: False)
        assert [len(part) for part in decoding.decode_native(native.vae, latent, cells, 4)] == [
            cells.num_frames(4), cells.num_frames(8) - cells.num_frames(4), cells.num_frames(9) - cells.num_frames(8)
        ]  # fmt: skip
