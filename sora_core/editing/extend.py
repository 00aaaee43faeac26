"""More video before or after a given one: the given frames stay, at the end, at the start or in the middle."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..diffusion.conditioning import Known
from .geometry import Geometry
from .place import Encode, check_channels, given_cells, place


@dataclass(frozen=True)
class Edit:
    """What to sample, and which of the decoded frames are whose.

    The result decodes to at least `num_frames` frames: keep that many. Its frames `kept` are those of the source from
    frame `source` on.
    """

    known: Known
    num_frames: int
    kept: range
    source: int


def extend(
    geometry: Geometry, encode: Encode, video: Tensor, *, before: int = 0, after: int = 0, context: int = 0,
) -> Edit:  # fmt: skip
    """Continue `video` (`b 3 t h w`) by `before` frames into its past and by `after` frames into its future.

    `context` is how many of its frames, next to the new ones, the model sees (0 = all). Frames that do not fill a
    latent frame are left out at the far side of a continuation, and generated anew when both sides are continued.
    Raises ValueError for nothing to add, or a context longer than the video or that fills no latent frame.
    """
    length = video.shape[2]
    if before < 0 or after < 0 or before + after == 0:
        raise ValueError(f"{before} frames before and {after} after are to be added; add at least 1 frame in total")
    if not 0 <= context <= length:
        raise ValueError(
            f"the context is {context} frames but the video has {length}; give at most {length}, 0 for all"
        )
    if before and after and context and context != length:
        raise ValueError("a video continued on both sides is all context; set the context to 0")
    context = context or length
    if not before:
        # A continuation starts like a video, with whole cells that end exactly where the new frames begin.
        context = geometry.whole_frames(context)
        source = length - context
        known = place(geometry, encode, video[:, :, source:], 0, context + after)
        return Edit(known, context + after, range(context), source)
    start = geometry.boundary(before)
    num_frames = start + context + after
    known = place(geometry, encode, video[:, :, :context], start, num_frames)
    cells = given_cells(geometry, start, context, num_frames)
    if geometry.span(cells.start)[0] != start:
        raise ValueError(
            f"the video has {context} frames, too few to fill a latent frame; give at least"
            f" {geometry.span(geometry.cell_of(start))[1] - start}"
        )
    stop = min(geometry.span(cells.stop - 1)[1], start + context)
    return Edit(known, num_frames, range(start, stop), 0)


def extend_latent(geometry: Geometry, latent: Tensor, after: int, num_frames: int | None = None) -> Edit:
    """Continue a latent `b c t h w` by `after` frames without decoding and encoding it again.

    It shows `num_frames` frames (default: all that it holds); a last latent frame that they do not fill is made anew,
    for the rest of it is a still picture.
    Raises ValueError for wrong channels, nothing to add, or more frames than it holds.
    """
    check_channels(geometry, latent)
    if after < 1:
        raise ValueError(f"{after} frames are to be added; add at least 1")
    frames = num_frames or geometry.num_frames(latent.shape[2])
    kept = geometry.whole_frames(frames)
    k = geometry.latent_frames(kept)
    if k > latent.shape[2]:
        raise ValueError(
            f"the latent holds {geometry.num_frames(latent.shape[2])} frames but its video has {frames}; give the"
            " latent that the video was decoded from"
        )
    total = geometry.latent_frames(frames + after)
    clean = latent.new_zeros(*latent.shape[:2], total, *latent.shape[3:])
    clean[:, :, :k] = latent[:, :, :k]
    mask = latent.new_ones(latent.shape[0], 1, *clean.shape[2:])
    mask[:, :, :k] = 0
    return Edit(Known(clean, mask), frames + after, range(kept), 0)
