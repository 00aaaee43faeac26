"""How a clip goes on: jumps and accelerations between frames, at a border between two parts and where a loop closes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_WINDOW = 9
_FAINT = 0.02
"""Contrast, as a standard deviation of luminance, below which a window counts as flat."""


def distance(a: Tensor, b: Tensor) -> float:
    """Root of the mean squared difference of two clips of equal shape."""
    return float((a.float() - b.float()).square().mean().sqrt())


def jumps(video: Tensor) -> Tensor:
    """Distance of each frame of `3 t h w` to the next one, `t - 1`."""
    return video.float().diff(dim=1).square().mean((0, 2, 3)).sqrt()


def accelerations(video: Tensor) -> Tensor:
    """Size of the change of velocity at each inner frame of `3 t h w`, `t - 2`."""
    return video.float().diff(n=2, dim=1).square().mean((0, 2, 3)).sqrt()


def across(video: Tensor, border: int) -> float:
    """Mean of the two accelerations of `3 t h w` that reach across the border before frame `border`."""
    return float(accelerations(video)[border - 2 : border].mean())


def at_borders(video: Tensor, borders: list[int], others: list[int]) -> float:
    """Acceleration across `borders` over that across `others`, both lists of frames before which something begins.

    A decoder may pulse wherever a latent frame begins, so borders between parts are compared with such places.
    """
    here, there = ([across(video, border) for border in each] for each in (borders, others))
    return sum(here) / len(here) / max(sum(there) / len(there), 1e-6)


def around(video: Tensor) -> tuple[Tensor, Tensor]:
    """Each step of the loop `3 t h w` to its next frame, the last one's to the first: its jump and its acceleration.

    Both are `t`. The acceleration of a step is the mean of those centred on its two frames.
    """
    velocity = (video.roll(-1, 1) - video).float()
    turn = (velocity - velocity.roll(1, 1)).square().mean((0, 2, 3)).sqrt()
    return velocity.square().mean((0, 2, 3)).sqrt(), (turn + turn.roll(-1)) / 2


def luminance(video: Tensor) -> Tensor:
    """Rec. 709 luminance of `3 t h w` as `t 1 h w`."""
    weights = torch.tensor([0.2126, 0.7152, 0.0722]).to(video)
    return (video * weights[:, None, None, None]).sum(0)[:, None]


def structure(video: Tensor, reference: Tensor) -> float:
    """How far two clips `3 t h w` agree in shapes, whatever their light and colours: 1 for equal ones.

    The mean local correlation of luminance, as in the third term of SSIM (Wang et al., 2004).
    """
    a, b = luminance(video.float()), luminance(reference.float())
    mean_a, mean_b = F.avg_pool2d(a, _WINDOW, 2), F.avg_pool2d(b, _WINDOW, 2)
    var_a = (F.avg_pool2d(a * a, _WINDOW, 2) - mean_a.square()).clamp(min=0)
    var_b = (F.avg_pool2d(b * b, _WINDOW, 2) - mean_b.square()).clamp(min=0)
    covariance = F.avg_pool2d(a * b, _WINDOW, 2) - mean_a * mean_b
    return float(((covariance + _FAINT**2) / ((var_a * var_b).sqrt() + _FAINT**2)).mean())
