"""Deblocking in time: a decoded video does not jump more where a latent frame begins than it moves on either side.

Frames of one latent frame share its errors, so that a video would pulse with them. The two frames at such a border move
towards each other, just so far that the step between them is as large as the steps around it: nothing where it is so
already, and a third of the way each where all else stands still. Video codecs even out the borders of their blocks in
the same way (List et al., "Adaptive deblocking filter", 2003).

Frames that somebody gave stay where they border on generated ones: these fade towards them, over a latent frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

CUT = 0.25
"""The step, as the root of its mean square, that is a cut as likely as an error; larger ones stay."""
LARGE = 0.9
"""The change of a pixel's most changed colour that is an edge in motion as likely as an error; larger ones stay."""
_TINY = 1e-8


def deblock(video: Tensor, time: int, *, given: Sequence[bool] = ()) -> Tensor:
    """Even out, in place, a decoded video `b 3 1+k*time h w` in [0, 1], whose latent frames begin at 1, 1 + time, ...

    `given` says which latent frames are given and not generated, all or none if it is empty. The one frame before
    frame 1 stays: it is an image, and often a given one.
    """
    _inside(video, time, 1, 0, given)
    return video


def check_given(given: Sequence[bool], latent_frames: int) -> None:
    """Raises ValueError unless `given` is empty or says something about every latent frame."""
    if given and len(given) != latent_frames:
        raise ValueError(
            f"given tells of {len(given)} latent frames whether they are given, and the latent has {latent_frames};"
            " tell of each of them, or of none"
        )


def deblock_stream(videos: Iterable[Tensor], time: int, *, given: Sequence[bool] = ()) -> Iterator[Tensor]:
    """What `deblock` makes of the whole of consecutive parts, `1 + k*time` frames and then `k*time` each.

    The last frames of each part come with the next one.
    """
    last, cell = None, 0
    for video in videos:
        if last is None:
            cell = _inside(video, time, 1, cell, given)
        else:
            if time > 1:
                _meet(last, video[:, :, :time], *_given_at(cell, given))
            cell = _inside(video, time, time, cell + 1, given)
            yield last
        held = max(2, time)
        if video.shape[2] > held:
            yield video[:, :, :-held]
        last = video[:, :, -held:].clone()
    if last is not None:
        yield last


def _inside(video: Tensor, time: int, first: int, cell: int, given: Sequence[bool]) -> int:
    """Even out the borders inside a part, the first of which is at frame `first` and ends latent frame `cell`.

    Returns which latent frame the part ends with.
    """
    for start in range(first, video.shape[2], time):
        if time > 1:
            _meet(video[:, :, max(0, start - time) : start], video[:, :, start : start + time], *_given_at(cell, given))
        cell += 1
    return cell


def _given_at(cell: int, given: Sequence[bool]) -> tuple[bool, bool]:
    """Whether the latent frames before and after the end of number `cell` are given."""
    return (given[cell], given[cell + 1]) if given else (False, False)


def _meet(before: Tensor, after: Tensor, before_given: bool, after_given: bool) -> None:
    """Move the frames on both sides of a border: the last of `before`, `b 3 n h w`, and the first of `after`.

    If all steps are at right angles to each other, moving both by a share w of the step between them leaves
    (1 - 2w)^2 of its energy and adds w^2 of it to the steps around; w makes the three equal. So it does, with 1 - w,
    where `before` is a single frame, which stays. Where one side alone is given, the n frames of the other move, each
    by a little less than the one nearer to the border, so that what the motion around does not explain of the step
    becomes n + 1 small ones.
    """
    step = after[:, :, 0] - before[:, :, -1]
    around = [part.diff(dim=2)[:, :, 0] for part in (before[:, :, -2:], after[:, :, :2]) if part.shape[2] > 1]
    energy = _energy(step)
    cut, edge = (energy.sqrt() / CUT) ** 4, (step.abs().amax(1, keepdim=True) / LARGE) ** 4
    error = step / (1 + cut.to(step).view(-1, 1, 1, 1)) / (1 + edge)
    if before_given != after_given:
        motion = torch.stack(around).mean(0).clamp(error.clamp(max=0), error.clamp(min=0))
        frames = after.unbind(2) if before_given else before.unbind(2)[::-1]
        part = (error - motion) / (len(frames) + 1) * (-1 if before_given else 1)
        for k, frame in enumerate(frames):
            frame.add_(part, alpha=len(frames) - k).clamp_(0, 1)
        return
    ratio = (torch.stack([_energy(each) for each in around]).mean(0) + _TINY) / (energy + _TINY)
    alone = before.shape[2] == 1
    share = (1 - ratio) / 2 if alone else (2 - (1 + 3 * ratio).sqrt()) / 3
    move = error * share.clamp(min=0).to(step).view(-1, 1, 1, 1)
    after[:, :, 0] -= move
    if not alone:
        before[:, :, -1] += move


def _energy(step: Tensor) -> Tensor:
    """Mean square of each sample of a batch, `b`."""
    return step.float().square().flatten(1).mean(1)
