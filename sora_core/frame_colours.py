"""What a decoded frame means: its colours, depth, transparency and rotation, as one plain picture or a refusal."""

from __future__ import annotations

import struct

import av
import torch
from av.sidedata.sidedata import Type
from torch import Tensor

_BT709 = 1  # the numbers are those of ITU-T H.273
_BT2020 = 9
_HDR = {16: "PQ", 18: "HLG"}
_UNTAGGED = 2


def note_on(frame: av.VideoFrame, context: av.VideoCodecContext) -> str:
    """What a plain picture cannot hold of frames like this one, in one line; empty when nothing is lost.

    `context` is that of the decoder: before PyAV 17 only it knows transfer and primaries.

    Raises ValueError for what would look wrong: HDR, whose brightness needs a choice, and slanted rotations.
    """
    name = _HDR.get(context.color_trc)
    if name:
        raise ValueError(f"it is HDR video ({name}), which would look pale; convert it to BT.709 first")
    if abs((frame.rotation + 45) % 90 - 45) > 1:
        raise ValueError(f"it is turned by {frame.rotation} degrees; multiples of 90 can be read")
    remarks = []
    bits = max(component.bits for component in frame.format.components)
    if bits > 8:
        remarks.append(f"{bits} bits per colour are read as 8")
    if context.color_primaries == _BT2020:
        remarks.append("the wide colours of BT.2020 are read as BT.709, a little paler")
    if _has_alpha(frame):
        remarks.append("transparent parts are shown over black")
    if context.sample_aspect_ratio not in (None, 0, 1):
        remarks.append(f"its pixels are {context.sample_aspect_ratio} times as wide as high and are read as squares")
    return "; ".join(remarks)


def _has_alpha(frame: av.VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components) or frame.format.has_palette


Matrix = tuple[int, int, int, int]
"""a, b, c, d of a display matrix, which shows the pixel (x, y) at (a x + c y, b x + d y)."""


def display_matrix(frame: av.VideoFrame) -> Matrix:
    """How frames like this one are to be turned and mirrored.

    To be asked of one frame for all: a frame that was asked for its side data is freed by the garbage collector alone.
    """
    data = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    a, b, _, c, d = (1, 0, 0, 0, 1) if data is None else struct.unpack("=5i", bytes(data)[:20])
    return a, b, c, d


def upright(frame: av.VideoFrame, turn: Matrix) -> Tensor:
    """One decoded frame as `h w 3`, uint8, in the colours that its tags mean, over black, turned as `turn` says."""
    wanted = "rgba" if _has_alpha(frame) else "rgb24"
    if frame.format.is_rgb or frame.format.has_palette:
        pixels = frame.to_ndarray(format=wanted)
    else:
        # Files without tags follow the custom of their size: BT.601 below 720 rows, BT.709 from there.
        untagged = frame.colorspace == _UNTAGGED
        matrix = "ITU709" if frame.colorspace == _BT709 or (untagged and frame.height >= 720) else None
        given = None if matrix else frame.colorspace if frame.colorspace in (4, 5, 7, 9) else "ITU601"
        full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
        pixels = frame.reformat(
            format=wanted, src_colorspace=matrix or given, dst_colorspace=matrix or given,
            src_color_range="JPEG" if full else "MPEG", dst_color_range="JPEG",
        ).to_ndarray()  # fmt: skip
    picture = torch.from_numpy(pixels)
    if picture.shape[2] == 4:
        picture = (picture[..., :3].float() * picture[..., 3:].float() / 255).round().byte()
    a, b, c, d = turn
    if abs(b) > abs(a):
        picture, a, d = picture.transpose(0, 1), c, b
    mirrored = [axis for axis, sign in ((0, d), (1, a)) if sign < 0]
    return picture.flip(mirrored) if mirrored else picture
