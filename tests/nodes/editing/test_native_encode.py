"""Encoding in overlapping parts, for videos that do not fit in memory: every latent frame once, borders hardly seen."""

import pytest
import torch


@pytest.fixture(scope="module")
def encoding(pack):
    return pack.nodes.native_encode


@pytest.fixture
def clip(native, pack):
    """A moving video of 12 latent frames, and the geometry of the VAE."""
    geometry = pack.nodes.editing_media.geometry_of(native.vae)
    frames, side = geometry.num_frames(12), 2 * geometry.space
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(side), torch.arange(side), indexing="ij")
    video = torch.stack([torch.sin(x / 5 + t / 7 + c) * torch.cos(y / 6 - t / 9) for c in range(3)], -1)
    return video * 0.4 + 0.5, geometry


@pytest.mark.parametrize("read", [3, 16])
def test_parts_have_every_latent_frame_and_equal_the_whole_away_from_borders(native, encoding, clip, read):
    video, geometry = clip
    with torch.inference_mode():
        whole = encoding.encode_native(native.vae, geometry, iter([video]), len(video), 5)
        found = torch.cat(list(encoding.encode_parts(native.vae, geometry, iter(video.split(read)), 5)), dim=2)
    assert found.shape == whole.shape
    error = (found - whole).abs().amax((0, 1, 3, 4)) / whole.std()
    print(f"{native.name}: largest difference {error.max():.1e} of the deviation, per latent frame {error.tolist()}")
    assert error[:5].max() < 1e-3, "the first part has all its past"
    if native.name != "wan21":  # with random weights, what is long past counts as much as the present
        assert error.mean() < 0.05


def test_a_video_that_does_not_fit_is_encoded_in_parts(native, encoding, clip, monkeypatch):
    video, geometry = clip
    sizes, encode = [], encoding.encoder

    def watched(vae, tile=None):
        def run(part):
            sizes.append(part.shape[2])
            return encode(vae, tile)(part)

        return run

    monkeypatch.setattr(encoding, "encoder", watched)
    with torch.inference_mode():
        whole = encoding.encode_native(native.vae, geometry, iter([video]), len(video), 4)
        assert sizes == [len(video)]
        monkeypatch.setattr(encoding, "fits", lambda *_: False)
        parts = encoding.encode_native(native.vae, geometry, iter(video.split(7)), len(video), 4)
    assert max(sizes[1:]) < len(video)
    assert parts.shape == whole.shape


def test_less_is_encoded_at_a_time_when_memory_runs_out(native, encoding, clip, monkeypatch):
    video, geometry = clip
    sizes, encode = [], encoding.encoder
    most = geometry.num_frames(8)

    def small(vae, tile=None):
        def run(part):
            sizes.append(part.shape[2])
            if part.shape[2] > most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return encode(vae, tile)(part)

        return run

    read, parts = [], encoding.encode_parts

    def in_parts(vae, geometry, chunks, count):
        return parts(vae, geometry, (read.append(len(chunk)) or chunk for chunk in chunks), count)

    monkeypatch.setattr(encoding, "encode_parts", in_parts)
    with torch.inference_mode():
        whole = encoding.encode_native(native.vae, geometry, iter([video]), len(video), 4)
        monkeypatch.setattr(encoding, "encoder", small)
        found = encoding.encode_native(native.vae, geometry, iter([video]), len(video), 8)
    assert found.shape == whole.shape
    assert sizes[0] == len(video) > most >= sizes[-1]
    assert max(read) <= 16, "every part would copy all that is left"


def test_tiles_get_smaller_when_one_latent_frame_is_too_much(native, pack, encoding, clip, monkeypatch):
    if native.name == "nano":
        pytest.skip("Sora's own VAE streams")
    video, geometry = clip
    video = video[:1].repeat(1, 2, 3, 1)
    most = 3 * geometry.space
    network, sizes = native.vae.first_stage_model, []
    encode = network.encode

    def small(part, *rest):
        sizes.append(part.shape[-1])
        if part.shape[-1] > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return encode(part, *rest)

    with torch.inference_mode():
        whole = encoding.encode_native(native.vae, geometry, iter([video]), 1, 4)
        monkeypatch.setattr(pack.nodes.native_decode, "SMALLEST", 2)
        monkeypatch.setattr(network, "encode", small)
        if native.vae.not_video:  # ComfyUI tiles such VAEs as images
            with pytest.raises(ValueError, match="too little memory to encode even one latent frame of"):
                encoding.encode_native(native.vae, geometry, iter([video]), 1, 4)
            return
        found = encoding.encode_native(native.vae, geometry, iter([video]), 1, 4)
    assert found.shape == whole.shape
    assert sizes[0] > most >= sizes[-1]
    if native.name != "wan21":  # the others encode each place alone
        torch.testing.assert_close(found, whole, atol=1e-4, rtol=0)


def test_room_for_three_copies_of_the_frames_is_wanted_beside_a_card(native, encoding, monkeypatch):
    """ComfyUI's own mapping to [-1, 1] makes two more of what it is given."""
    shape, frames = (100, 64, 64), 100 * 64 * 64 * 12
    management = encoding.comfy.model_management
    monkeypatch.setattr(management, "is_device_cpu", lambda _: False)
    monkeypatch.setattr(management, "get_total_memory", lambda _: 1 << 60)
    for free, enough in ((2.9, False), (3.1, True)):
        monkeypatch.setattr(management, "get_free_memory", lambda _, free=free: int(free * frames))
        assert encoding.fits(native.vae, *shape) is enough
