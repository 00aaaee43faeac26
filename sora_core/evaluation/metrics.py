"""Distances between a clip and its reconstruction: fidelity of frames, and error that flickers from frame to frame."""

from __future__ import annotations

import kornia.metrics
import torch
from torch import Tensor


def psnr(video: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two clips `3 t h w` in [0, 1]; infinite where they are equal."""
    return float(kornia.metrics.psnr(video.float(), reference.float(), 1.0))


def ssim(video: Tensor, reference: Tensor) -> float:
    """Mean structural similarity of the frames of two clips `3 t h w` (Wang et al., 2004; 11 px window).

    Frames of less than 6 px have the largest window that can be mirrored at their edges.
    """
    frames, others = (x.float().transpose(0, 1) for x in (video, reference))
    window = min(11, 2 * min(frames.shape[2:]) - 1)
    return float(kornia.metrics.ssim(frames, others, window).mean())


def flicker(video: Tensor, reference: Tensor) -> float:
    """How much of the error of `3 t h w` changes from frame to frame: RMS of its change over RMS of itself.

    An error that stands still gives 0, one drawn anew every frame 1.41. A single frame cannot flicker: 0.
    """
    error = video.float() - reference.float()
    size = error.square().mean().sqrt()
    if error.shape[1] < 2 or size == 0:
        return 0.0
    return float(error.diff(dim=1).square().mean().sqrt() / size)


def roughness(video: Tensor) -> float:
    """Mean size of what a 3x3 blur takes away from `3 t h w`: small for pictures, large for noise."""
    frames = video.float().transpose(0, 1)
    blurred = torch.nn.functional.avg_pool2d(frames, 3, stride=1)
    return float((frames[..., 1:-1, 1:-1] - blurred).abs().mean())
