"""What a decoded frame means: its colours, depth, transparency and rotation, as one plain picture or a refusal."""

from __future__ import annotations

import av
import torch
from torch import Tensor

_BT709 = 1  # the numbers are those of ITU-T H.273
_BT2020 = 9
_HDR = {16: "PQ", 18: "HLG"}
_UNTAGGED = 2


def note_on(frame: av.VideoFrame) -> str:
    """What a plain picture cannot hold of frames like this one, in one line; empty when nothing is lost.

    Raises ValueError for what would look wrong: HDR, whose brightness needs a choice, and slanted rotations.
    """
    name = _HDR.get(getattr(frame, "color_trc", _UNTAGGED))
    if name:
        raise ValueError(f"it is HDR video ({name}), which would look pale; convert it to BT.709 first")
    if abs((frame.rotation + 45) % 90 - 45) > 1:
        raise ValueError(f"it is turned by {frame.rotation} degrees; multiples of 90 can be read")
    remarks = []
    bits = max(component.bits for component in frame.format.components)
    if bits > 8:
        remarks.append(f"{bits} bits per colour are read as 8")
    if getattr(frame, "color_primaries", _UNTAGGED) == _BT2020:
        remarks.append("the wide colours of BT.2020 are read as BT.709, a little paler")
    if _has_alpha(frame):
        remarks.append("transparent parts are shown over black")
    return "; ".join(remarks)


def _has_alpha(frame: av.VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components) or frame.format.has_palette


def upright(frame: av.VideoFrame) -> Tensor:
    """One decoded frame as `h w 3`, uint8, in the colours that its tags mean, over black, turned as they say."""
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
    turns = round(frame.rotation / 90) % 4
    return picture.rot90(turns, (0, 1)) if turns else picture
