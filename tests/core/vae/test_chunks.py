"""Streams of frames through the compression network: whole cells whatever the chunks, and less at a time if need be."""

import pytest
import torch

from sora_core.out_of_memory import is_out_of_memory
from sora_core.shapes import Compression, VideoShape
from sora_core.vae.chunks import whole_cells

CELLS = Compression(time=4, space=8)


@pytest.mark.parametrize(("frames", "sizes"), [(1, [1]), (5, [5]), (6, [5, 4]), (13, [5, 8]), (14, [5, 8, 4])])
@pytest.mark.parametrize("read", [1, 3, 16])
def test_frames_are_regrouped_into_whole_cells(frames, sizes, read):
    video = torch.rand(frames, 8, 16, 3)
    chunks = list(whole_cells(video.split(read), CELLS, 2, patch=1))
    assert [chunk.shape[2] for chunk in chunks] == sizes
    joined = torch.cat(chunks, dim=2)
    assert torch.equal(joined[:, :, :frames], video.movedim(-1, 0)[None])
    assert torch.equal(joined[:, :, frames:], joined[:, :, frames - 1 : frames].expand_as(joined[:, :, frames:]))


def test_bytes_become_shares_and_edges_are_repeated_to_whole_patches():
    video = torch.full((1, 9, 17, 3), 255, dtype=torch.uint8)
    (chunk,) = whole_cells([video], CELLS)
    assert chunk.shape == (1, 3, 1, 16, 32)
    assert (chunk == 1).all()


def test_frames_lie_in_the_middle_of_whole_patches():
    video = torch.rand(1, 20, 29, 3)
    (chunk,) = whole_cells([video], CELLS)
    rows, columns = VideoShape(num_frames=1, height=20, width=29).area(*chunk.shape[3:])
    assert torch.equal(chunk[..., rows, columns], video.movedim(-1, 0)[None])
    assert torch.equal(chunk[..., columns][..., 0, :], chunk[..., columns][..., rows.start, :])


def test_streamed_encode_equals_whole(nano):
    video = torch.rand(14, 16, 16, 3)
    chunks = list(whole_cells(video.split(3), CELLS, 2))
    with torch.inference_mode():
        streamed = torch.cat(list(nano.vae.encode_chunks(chunks)), dim=2)
        torch.testing.assert_close(streamed, nano.vae.encode(torch.cat(chunks, dim=2)), atol=1e-5, rtol=0)


def test_decode_goes_on_with_less_when_memory_runs_out_and_is_the_same(nano, monkeypatch):
    latent, decode, sizes = torch.randn(1, 16, 6, 2, 2), nano.vae.decode, []
    with torch.inference_mode():
        expected = decode(latent)

    def small(part, state):
        sizes.append(part.shape[2])
        video = decode(part, state)  # the state has moved on when memory runs out late
        if part.shape[2] > 1 and len(sizes) > 1:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: 9 bytes"
            )
        return video

    monkeypatch.setattr(nano.vae, "decode", small)
    with torch.inference_mode():
        streamed = torch.cat(list(nano.vae.decode_chunks(latent, 2)), dim=2)
    assert sizes == [2, 2, 1, 1, 1, 1]
    torch.testing.assert_close(streamed, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "said",
    [
        "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
        "MPS backend out of memory (MPS allocated: 15.72 GiB, other allocations: 2.41 MiB, max allowed: 18.13 GiB).",
        "Invalid buffer size: 19.38 GiB",
        "CUDA error: out of memory",
        "HIP error: out of memory",
        "Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
    ],
)
def test_a_lack_of_memory_is_known_on_every_device(said):
    assert is_out_of_memory(RuntimeError(said))
    assert is_out_of_memory(torch.OutOfMemoryError(said))


def test_other_errors_are_not_taken_for_a_lack_of_memory(nano, monkeypatch):
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))

    def fail(*_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(nano.vae, "decode", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        next(nano.vae.decode_chunks(torch.randn(1, 16, 4, 2, 2)))
