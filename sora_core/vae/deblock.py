"""Deblocking in time: a decoded video does not jump more where a latent frame begins than it moves on either side.

Frames of one latent frame share its errors, so that a video would pulse with them. The two frames at such a border move
towards each other, just so far that the step between them is as large as the steps around it: nothing where it is so
already, and a third of the way each where all else stands still. Video codecs even out the borders of their blocks in
the same way (List et al., "Adaptive deblocking filter", 2003).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

CUT = 0.25
"""The step, as the root of its mean square, that is a cut as likely as an error; larger ones stay."""
LARGE = 0.9
"""The change of a pixel's most changed colour that is an edge in motion as likely as an error; larger ones stay."""
_TINY = 1e-8


def deblock(video: Tensor, time: int, *, first: int = 1) -> Tensor:
    """Even out, in place, a decoded video `b 3 t h w` in [0, 1], in which a latent frame begins at frame `first`.

    Each latent frame is `time` frames. The one frame before frame 1 stays: it is an image, and often a given one.
    """
    if time > 1:
        for start in range(first, video.shape[2], time):
            _meet(video[:, :, max(0, start - 2) : start], video[:, :, start : start + 2])
    return video


def deblock_stream(videos: Iterable[Tensor], time: int) -> Iterator[Tensor]:
    """What `deblock` makes of the whole of consecutive parts, `1 + k*time` frames and then `k*time` each.

    The last two frames of each part come with the next one.
    """
    last = None
    for video in videos:
        if last is None:
            deblock(video, time)
        else:
            if time > 1:
                _meet(last, video[:, :, :2])
            deblock(video, time, first=time)
            yield last
        if video.shape[2] > 2:
            yield video[:, :, :-2]
        last = video[:, :, -2:].clone()
    if last is not None:
        yield last


def _meet(before: Tensor, after: Tensor) -> None:
    """Move the frames on both sides of a border: the last of `before`, `b 3 n h w`, and the first of `after`.

    If all steps are at right angles to each other, moving both by a share w of the step between them leaves
    (1 - 2w)^2 of its energy and adds w^2 of it to the steps around; w makes the three equal. So it does, with 1 - w,
    where `before` is a single frame, which stays.
    """
    step = after[:, :, 0] - before[:, :, -1]
    energy = _energy(step)
    around = [_energy(part.diff(dim=2)) for part in (before, after) if part.shape[2] > 1]
    ratio = (sum(around) / len(around) + _TINY) / (energy + _TINY)
    alone = before.shape[2] == 1
    share = (1 - ratio) / 2 if alone else (2 - (1 + 3 * ratio).sqrt()) / 3
    share = share.clamp(min=0) / (1 + (energy.sqrt() / CUT) ** 4)
    size = step.abs().amax(1, keepdim=True) / LARGE
    move = step * share.to(step).view(-1, 1, 1, 1) / (1 + size**4)
    after[:, :, 0] -= move
    if not alone:
        before[:, :, -1] += move


def _energy(step: Tensor) -> Tensor:
    """Mean square of each sample of a batch, `b`."""
    return step.float().square().flatten(1).mean(1)
