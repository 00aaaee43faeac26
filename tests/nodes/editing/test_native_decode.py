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


def test_tiles_are_chosen_by_the_memory_that_is_free(native, pack, decoding, monkeypatch):
    cells = pack.nodes.native.compression(native.vae)
    monkeypatch.setattr(native.vae, "memory_used_decode", lambda shape, _: shape[2] * shape[3] * shape[4] << 30)
    monkeypatch.setattr(decoding.comfy.model_management, "get_free_memory", lambda *_: (5 * 20 * 32 << 30) + (1 << 31))
    shape = torch.Size((1, 16, 5, 20, 64))
    assert decoding.tiles(shape) == [32, 16]
    assert not decoding.fits(native.vae, shape, cells)
    assert decoding.fitting_tile(native.vae, shape, cells) == 32
    assert decoding.fitting_tile(native.vae, torch.Size((1, 16, 50, 20, 64)), cells) == 16


@pytest.mark.parametrize(("mapped", "wanted"), [(lambda x: x.add_(1), 2), (lambda x: x + 1, 3)])
def test_room_is_wanted_for_all_frames_that_comfyui_makes(native, pack, decoding, monkeypatch, mapped, wanted):
    cells = pack.nodes.native.compression(native.vae)
    shape = torch.Size((1, native.vae.latent_channels, 5, 4, 4))
    frames = 12 * cells.num_frames(5) * 4 * 4 * cells.space**2
    management = decoding.comfy.model_management
    monkeypatch.setattr(native.vae, "process_output", mapped)
    monkeypatch.setattr(management, "is_device_cpu", lambda _: False)
    monkeypatch.setattr(management, "get_total_memory", lambda _: 1 << 60)
    for free, enough in ((wanted - 0.1, False), (wanted + 0.1, True)):
        monkeypatch.setattr(management, "get_free_memory", lambda _, free=free: int(free * frames))
        assert decoding.fits(native.vae, shape, cells) is enough


@pytest.mark.parametrize("frames", [1, 3])
def test_parts_get_shorter_and_then_tiles_smaller_when_memory_runs_out(native, pack, decoding, monkeypatch, frames):
    if native.name == "nano":
        pytest.skip("Sora's own VAE streams")
    cells = pack.nodes.native.compression(native.vae)
    latent = torch.randn(1, native.vae.latent_channels, frames, 4, 6, generator=torch.Generator().manual_seed(0))
    network, sizes = native.vae.first_stage_model, []
    decode = network.decode

    def small(part, *rest):
        sizes.append(tuple(part.shape[-3:]))
        if part.shape[-1] > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return decode(part, *rest)

    with torch.inference_mode():
        whole = decoding.decoded(native.vae, latent)
        monkeypatch.setattr(decoding, "SMALLEST", 2)
        monkeypatch.setattr(network, "decode", small)
        found = torch.cat(list(decoding.decode_native(native.vae, latent, cells, 4)))
    assert found.shape == whole.shape
    assert sizes[0][1:] == (4, 6)
    assert max(sizes[-1]) <= 3
    if native.name != "wan21":  # the others decode each place alone
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)
