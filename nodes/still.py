"""Image files as VIDEOs of one frame that are read when somebody looks at them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comfy_api.latest import Input, InputImpl, Types
from PIL import Image, ImageOps
from torch import Tensor

from .movie import IMAGE_FPS

DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
"""What decoders of images raise where a file is not what it should be."""


def pixels_of(path: Path) -> Tensor:
    """An image file as IMAGE `1 h w 3` in [0, 1], upright and without transparency; of several pictures the first.

    Raises ValueError for a file that cannot be read.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
                picture = Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
            pixels = np.array(picture.convert("RGB"))
    except DAMAGED:
        raise ValueError(
            f"{path.name} is damaged or no image that can be read; replace it, or take it out of the folder"
        ) from None
    return torch.from_numpy(pixels)[None].float() / 255


class Still(Input.Video):
    """A VIDEO of one frame that keeps only the name of its file: a folder of photographs would fill the memory."""

    def __init__(self, path: Path):
        self.path = path

    def get_components(self) -> Types.VideoComponents:
        return Types.VideoComponents(images=pixels_of(self.path), audio=None, frame_rate=Fraction(IMAGE_FPS))

    def save_to(self, *args: Any, **options: Any) -> Any:
        return self._held().save_to(*args, **options)

    def as_trimmed(self, *args: Any, **options: Any) -> Any:
        return self._held().as_trimmed(*args, **options)

    def _held(self) -> Any:
        return InputImpl.VideoFromComponents(self.get_components())
