"""Pixels go between bytes and floats without a change, and what is no pixel is refused."""

import pytest
import torch

from sora_core.pixels import in_range, to_bytes, to_floats


def test_every_byte_comes_back():
    pixels = torch.arange(256, dtype=torch.uint8).view(16, 16)
    assert torch.equal(to_bytes(to_floats(pixels)), pixels)
    assert to_floats(pixels).aminmax() == (0, 1)
    assert to_bytes(pixels) is pixels


def test_floats_are_cut_off_at_their_ends():
    assert to_bytes(torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0, 128, 255]
    assert torch.equal(in_range(torch.tensor([255], dtype=torch.uint8)), torch.ones(1))


@pytest.mark.parametrize(
    ("pixels", "sentence"), [([float("nan")], "NaN or infinite pixels"), ([1], r"frames are torch\.int64; give uint8")]
)
def test_what_is_no_pixel_is_refused(pixels, sentence):
    with pytest.raises(ValueError, match=sentence):
        to_bytes(torch.tensor(pixels))
