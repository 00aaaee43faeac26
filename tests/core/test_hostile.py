"""Hostile input to the library, one line of a table each: it is answered by its rule, and the next request is well."""

import json
import math
import pickle
import struct

import pytest
import torch

from sora_core.checkpoint import CONFIG_BUFFER, PREFIXES, read_checkpoint
from sora_core.shapes import VideoShape
from sora_core.stored_latent import NAME, StoredLatent

PROMPTS = {
    "nothing": "",
    "blanks": " \t\n\r ",
    "punctuation": "?!… ---- ,,, ()[]{}",
    "ten thousand words": "ball " * 10_000,
    "one endless word": "a" * 100_000,
    "ten thousand characters of Chinese": "红" * 10_000,
    "emoji": "🦆🚀👩‍👩‍👧‍👦🏳️‍🌈",
    "right to left": "كرة حمراء ‮ball der",
    "zero-width characters": "re\u200bd\u200d ba\ufeffll",
    "combining marks": "z̷̢a̶l̴g̵o̸ " * 50,
    "control characters": "red\x00 ball\x1b[31m\x07",
    "half a surrogate pair": "red \ud800 ball",
    "private use": "\ue000\uf8ff\U000f0000",
    "mathematical letters": "𝓻𝓮𝓭 𝕓𝕒𝕝𝕝",
    "markup": "<script>alert(1)</script><img src=x onerror=y>",
    "a query": "'; DROP TABLE videos; --",
    "a path": "../../../etc/passwd C:\\Windows\\System32",
    "a format": "%s%n{0}{__class__}${HOME}`id`",
    "weights and networks": "(red ball:1.9) <lora:x:1> [a|b] embedding:z",
    "numbers": "1e308 -0 NaN inf 0x1F ٣٤",
    "underscores": "_ __init__ _red_",
    "every script": "красный 赤い 빨간 แดง लाल κόκκινο",
    "line breaks": "red\nball\r\nrolls\u2028left\u2029now\x0bup\x0c",
    "capitals and full width": "ＲＥＤ ＢＡＬＬ İSTANBUL ßtraße",
    "a timeline": "[0-2s] a red ball\n[2-4s] a blue cube",
}


@torch.inference_mode()
@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_makes_a_video(nano, name):
    states, mask = nano.text.encode([PROMPTS[name]])
    assert mask.any()
    assert torch.isfinite(states[mask]).all()
    x, sigma = torch.zeros(1, 16, 1, 2, 2), torch.tensor([0.5])
    assert torch.isfinite(nano.denoiser([PROMPTS[name]], fps=8.0)(x, sigma)).all()


def test_prompts_that_say_the_same_in_other_letters_are_the_same(nano):
    plain, full_width, mathematical = (nano.text.encode([t])[0] for t in ("red ball", "ＲＥＤ ＢＡＬＬ", "𝓻𝓮𝓭 𝕓𝕒𝕝𝕝"))
    assert torch.equal(plain, full_width)
    assert torch.equal(plain, mathematical)


def header(text, data=b""):
    """The bytes of a safetensors file with any text as its header."""
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw)) + raw + data


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


FILES = {
    "empty": b"",
    "seven bytes": b"\x00" * 7,
    "header of no bytes": struct.pack("<Q", 0),
    "header longer than the file": struct.pack("<Q", 10_000) + b"{}",
    "header of 2**63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2**64 - 1 bytes": b"\xff" * 8 + b"{}",
    "header that is no JSON": header("red ball"),
    "header that is no UTF-8": header(b'{"\xff\xfe": 1}'),
    "header that is a list": header("[1, 2]"),
    "header that is a number": header("7"),
    "header that ends early": header('{"a": {"dtype": "F32"'),
    "header of a thousand brackets": header("[" * 1000 + "]" * 1000),
    "tensor without data": header(json.dumps({"a": tensor()})),
    "tensor beyond the end": header(json.dumps({"a": tensor(offsets=(0, 10**12))}), b"\x00" * 8),
    "tensor that begins after its end": header(json.dumps({"a": tensor(offsets=(8, 0))}), b"\x00" * 8),
    "tensor at a negative place": header(json.dumps({"a": tensor(offsets=(-8, 0))}), b"\x00" * 8),
    "tensor larger than its bytes": header(json.dumps({"a": tensor(shape=(2**40, 2**40))}), b"\x00" * 8),
    "tensor of a negative size": header(json.dumps({"a": tensor(shape=(-2,))}), b"\x00" * 8),
    "tensor of an unknown kind": header(json.dumps({"a": tensor(dtype="F99")}), b"\x00" * 8),
    "tensors over each other": header(json.dumps({"a": tensor(), "b": tensor(offsets=(4, 12))}), b"\x00" * 12),
    "hole between tensors": header(json.dumps({"a": tensor(), "b": tensor(offsets=(16, 24))}), b"\x00" * 24),
    "bytes after the last tensor": header(json.dumps({"a": tensor()}), b"\x00" * 99),
    "metadata that are no words": header(json.dumps({"__metadata__": {"sora": {"dit": 1}}})),
    "nothing but metadata": header(json.dumps({"__metadata__": {"about": "nothing"}})),
    "pickle": pickle.dumps({"model.diffusion_model.sora_config": [1, 2, 3]}),
    "archive": b"PK\x03\x04" + b"\x00" * 200,
    "pointer to a large file": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 38200000\n",
    "page of a website": b"<!DOCTYPE html><html><body>404</body></html>",
    "picture": b"\x89PNG\r\n\x1a\n" + b"\x00" * 200,
    "other family": header(json.dumps({"transformer_blocks.0.weight": tensor()}), b"\x00" * 8),
    "configuration that is no JSON": header(
        json.dumps({PREFIXES["dit"] + CONFIG_BUFFER: tensor("U8", (4,), (0, 4))}), b"ball"
    ),
    "configuration of brackets without end": header(
        json.dumps({PREFIXES["dit"] + CONFIG_BUFFER: tensor("U8", (100_000,), (0, 100_000))}), b"[" * 100_000
    ),
    "configuration without weights": header(
        json.dumps({PREFIXES["dit"] + CONFIG_BUFFER: tensor("U8", (2,), (0, 2))}), b"{}"
    ),
    "configuration of no bytes": header(json.dumps({PREFIXES["dit"] + CONFIG_BUFFER: tensor("U8", (0,), (0, 0))})),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_model_is_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / "model.safetensors"
    path.write_bytes(FILES[name])
    with pytest.raises(ValueError, match=r"model\.safetensors|SoraConfig") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


LATENTS = {
    "a list": "[1]",
    "a number": json.dumps({NAME: 1}),
    "a kind that is none": json.dumps({NAME: {"dtype": [], "shape": [1] * 5, "data_offsets": [0, 4]}}),
    "sizes that are words": json.dumps({NAME: {"dtype": "F32", "shape": ["a"] * 5, "data_offsets": [0, 4]}}),
    "brackets without end": "[" * 100_000,
}


@pytest.mark.parametrize("name", LATENTS)
def test_a_file_that_is_no_latent_is_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / "a.safetensors"
    path.write_bytes(header(LATENTS[name], b"\x00" * 4))
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged or holds no latent") as caught:
        StoredLatent(path)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",))

    path = tmp_path / "trap.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="is damaged or not a safetensors file"):
        read_checkpoint(path)
    assert [p.name for p in tmp_path.iterdir()] == ["trap.safetensors"]


SIZES = [(1, 1, 1), (1, 10_000, 1), (65, 47, 7), (7, 65, 2), (3, 3, 3), (127, 129, 9), (641, 359, 5), (16, 16, 1001)]


@pytest.mark.parametrize(("width", "height", "frames"), SIZES)
def test_any_size_is_held_by_its_grid_and_said_if_rounded(nano, width, height, frames):
    shape = VideoShape(num_frames=frames, height=height, width=width, fps=8)
    cell, patch = nano.config.vae.compression, nano.config.dit.patch
    padded = shape.padded(cell, patch)
    assert 0 <= padded.width - width < cell.space * patch[2]
    assert 0 <= padded.height - height < cell.space * patch[1]
    assert 0 <= padded.num_frames - frames < cell.time
    assert bool(shape.rounding_note(cell, patch)) == (padded != shape)
    nano.latent_shape(shape).grid(patch)


IMPOSSIBLE = {
    "no width": {"width": 0},
    "negative height": {"height": -1},
    "seconds that are no number": {"seconds": math.nan},
    "endless": {"seconds": math.inf},
    "before the beginning": {"seconds": -0.001},
    "more frames than can be counted": {"seconds": 1e300},
    "no frames a second": {"fps": 0.0},
    "backward frames": {"fps": -8.0},
    "frames that are no number": {"fps": math.nan},
    "endless frames": {"fps": math.inf},
    "a grid above the budget": {"width": 100_000, "height": 100_000},
    "a day": {"seconds": 86_400.0, "width": 1920, "height": 1080},
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_video_is_refused_in_one_sentence_with_a_number(nano, name):
    request = {"width": 64, "height": 64, "seconds": 1.0, "fps": 8.0} | IMPOSSIBLE[name]
    with pytest.raises(ValueError, match=r"must be|above the limit|more frames") as caught:
        nano.latent_shape(VideoShape.from_seconds(**request))
    assert "\n" not in str(caught.value)
    assert any(character.isdigit() for character in str(caught.value))
