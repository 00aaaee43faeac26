"""A video and the latent's frames that it lies in are made from each other, and nothing of a video is lost by that."""

import pytest
import torch

from sora_core.framing import framed, unframed
from sora_core.shapes import Compression, VideoShape

MINI = Compression(time=4, space=8)
SIZES = [(54, 118), (118, 54), (100, 64), (76, 84), (64, 128), (1, 1), (300, 200)]


def smooth(shape: VideoShape) -> torch.Tensor:
    """A video `1 3 t h w` of slow waves."""
    rows, columns = (torch.linspace(0, 1, size) for size in (shape.height, shape.width))
    waves = [torch.sin(9 * rows[:, None] + 7 * columns + phase) for phase in range(3 * shape.num_frames)]
    return torch.stack(waves).view(1, 3, shape.num_frames, shape.height, shape.width) / 2 + 0.5


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_resized_video_comes_back(width, height):
    shape = VideoShape(num_frames=2, height=height, width=width, resized=True)
    video, made = smooth(shape), shape.padded(MINI)
    frames = unframed(video, shape, made.height, made.width)
    assert frames.shape[2:] == (2, made.height, made.width)
    torch.testing.assert_close(framed(frames, shape), video, rtol=0, atol=0.02)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_cropped_video_comes_back_exactly(width, height):
    shape = VideoShape(num_frames=2, height=height, width=width)
    video, made = smooth(shape), shape.padded(MINI)
    assert torch.equal(framed(unframed(video, shape, made.height, made.width), shape), video)
