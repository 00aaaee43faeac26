"""Pieces of time and tiles of space through the compression network: equal to the whole, and as small as need be."""

import sys
from types import SimpleNamespace

import pytest
import torch

from sora_core.out_of_memory import free_memory
from sora_core.vae import StreamState, streaming
from sora_core.vae.streaming import (
    Pieces,
    Stream,
    decode_parts,
    decode_stream,
    encode_stream,
    plan_pieces,
    reach,
    work_bytes,
)  # fmt: skip

FULL = "[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


@pytest.fixture
def latent(draws):
    return torch.randn(1, 16, 5, 40, 36, generator=draws)


@pytest.fixture
def cut(monkeypatch):
    """Makes every plan these pieces."""

    def to(pieces):
        monkeypatch.setattr(streaming, "plan_pieces", lambda *_, **__: pieces)

    return to


@pytest.mark.parametrize("pieces", [Pieces(5, 20, 36), Pieces(2, 17, 19), Pieces(1, 40, 16)])
def test_tiled_and_streamed_decode_equals_whole(nano, latent, cut, pieces):
    with torch.inference_mode():
        whole = nano.vae.decode(latent)
        cut(pieces)
        streamed = torch.cat(list(decode_stream(nano.vae, latent)), dim=2)
    torch.testing.assert_close(streamed, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pieces", [Pieces(3, 16, 24), Pieces(1, 13, 40)])
def test_tiled_and_streamed_encode_equals_whole(nano, cut, draws, pieces):
    video = torch.rand(1, 3, 13, 8 * 40, 8 * 24, generator=draws)
    with torch.inference_mode():
        whole = nano.vae.encode(video)
        cut(pieces)
        streamed = torch.cat(list(encode_stream(nano.vae, video.split([5, 8], dim=2))), dim=2)
    torch.testing.assert_close(streamed, whole, atol=1e-5, rtol=0)


def test_surroundings_are_no_larger_than_they_must_be(nano, latent, monkeypatch):
    enough = reach(nano.vae, decoding=True)
    with torch.inference_mode():
        whole = nano.vae.decode(latent, StreamState())
        found = {}
        for around in (enough, enough - 2):
            stream = Stream(nano.vae.decode, around, 1, 8)
            found[around] = float((stream(latent, Pieces(5, 20, 36)) - whole).abs().max())
    assert found[enough] < 1e-5 < found[enough - 2]


def test_parts_that_continue_each_other_are_decoded_like_one(nano, latent):
    with torch.inference_mode():
        whole = nano.vae.decode(latent)
        parts = torch.cat(list(decode_parts(nano.vae, latent.split([2, 1, 2], dim=2))), dim=2)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_pieces_are_planned_from_memory_before_anything_starts(nano):
    vae = nano.vae
    all_of_it = plan_pieces(vae, 135, 240, decoding=True, frames=4, budget=1 << 40)
    assert all_of_it == Pieces(4, 135, 240)
    previous = all_of_it
    for budget in (2**30, 2**28, 2**26):
        pieces = plan_pieces(vae, 135, 240, decoding=True, frames=4, budget=budget)
        assert work_bytes(vae, pieces, decoding=True) <= budget
        assert (pieces.frames, pieces.height * pieces.width) <= (previous.frames, previous.height * previous.width)
        previous = pieces
    assert previous.frames == 1
    assert previous.height < 135
    assert plan_pieces(vae, 16, 16, decoding=True, budget=1).frames == 1, "too little is tried all the same"


def test_pieces_are_planned_for_where_they_are_computed_wherever_the_weights_wait(nano, monkeypatch):
    asked = []
    monkeypatch.setattr(streaming, "free_memory", asked.append)
    monkeypatch.setattr(nano.vae, "decode", lambda *_: torch.zeros(1, 3, 1, 32, 32))
    monkeypatch.setattr(nano.vae, "encode", lambda *_: torch.zeros(1, 16, 1, 4, 4))
    assert len(list(decode_stream(nano.vae, torch.zeros(1, 16, 1, 4, 4, device="meta")))) == 1
    assert len(list(encode_stream(nano.vae, [torch.zeros(1, 3, 1, 32, 32, device="meta")]))) == 1
    assert asked == [torch.device("meta")] * 2


def test_without_a_wish_as_many_frames_as_work_comfortably(nano):
    sizes = [plan_pieces(nano.vae, side, side, decoding=True, budget=1 << 40).frames for side in (4, 16, 64)]
    assert sizes[0] == streaming.MOST_FRAMES
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


def test_free_memory_is_known_without_linux(monkeypatch, tmp_path):
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr("sora_core.out_of_memory._MEMINFO", tmp_path / "none")
    assert free_memory() > 1 << 20
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=12345))
    assert free_memory() == 12345


def test_what_earlier_work_has_left_to_pytorch_on_a_card_is_free(monkeypatch):
    for name, value in (("mem_get_info", (100, 1000)), ("memory_reserved", 700), ("memory_allocated", 200)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert free_memory("cuda") == 600


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need a package for it")
def test_free_memory_is_known_on_linux():
    assert free_memory() > 1 << 20


@pytest.mark.parametrize("decoding", [True, False])
def test_tiles_get_smaller_when_memory_runs_out_even_for_one_frame_and_the_result_is_the_same(
    nano, monkeypatch, draws, decoding
):
    name = "decode" if decoding else "encode"
    run = getattr(nano.vae, name)
    given = torch.randn(1, 16, 3, 40, 36, generator=draws) if decoding else torch.rand(1, 3, 5, 320, 288)
    with torch.inference_mode():
        whole, seen = run(given), []

    def small(part, state):
        seen.append(part.shape[2:])
        made = run(part, state)  # late, when the state has moved on
        if part.shape[3] * part.shape[4] >= given.shape[3] * given.shape[4]:
            raise RuntimeError(FULL)
        return made

    monkeypatch.setattr(nano.vae, name, small)
    with torch.inference_mode():
        stream = decode_stream(nano.vae, given, 2) if decoding else encode_stream(nano.vae, [given])
        found = torch.cat(list(stream), dim=2)
    assert seen[0][1:] == given.shape[3:]
    assert seen[-1][1] * seen[-1][2] < seen[0][1] * seen[0][2]
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


def test_an_error_that_smaller_pieces_cannot_help_comes_out(nano, monkeypatch):
    monkeypatch.setattr(nano.vae, "decode", lambda *_: (_ for _ in ()).throw(RuntimeError(FULL)))
    with pytest.raises(RuntimeError, match="can't allocate"):
        next(decode_stream(nano.vae, torch.randn(1, 16, 1, 4, 4)))


def test_given_frames_are_told_of_one_by_one(nano):
    latent = torch.randn(1, 16, 3, 2, 2)
    with torch.inference_mode():
        with pytest.raises(ValueError, match=r"2 latent frames .* the latent has 3"):
            nano.vae.decode(latent, given=[True, False])
        with pytest.raises(ValueError, match=r"2 latent frames .* the latent has 3"):
            next(nano.vae.decode_chunks(latent, 1, given=[True, False]))
        whole = nano.vae.decode(latent, given=[True, False, True])
        streamed = torch.cat(list(nano.vae.decode_chunks(latent, 1, given=[True, False, True])), dim=2)
    torch.testing.assert_close(streamed, whole, atol=1e-5, rtol=0)
