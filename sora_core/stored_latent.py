"""A latent that stays on disk: it is read some latent frames at a time, so that its length costs no memory."""

from __future__ import annotations

import json
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

NAME = "latent_tensor"
"""The tensor's name in the file, the same as in the .latent files of ComfyUI."""
_KINDS: dict[str, tuple[np.dtype[Any], torch.dtype]] = {
    "F32": (np.dtype("<f4"), torch.float32), "F16": (np.dtype("<f2"), torch.float16),
    "BF16": (np.dtype("<i2"), torch.bfloat16),
}  # fmt: skip
"""How numbers are read from the file, and what they are."""


class StoredLatent:
    """A latent `b c t h w` in a .safetensors file; slicing it along time, as `latent[:, :, a:b]`, reads that part.

    Plain reads rather than a mapping of the file, whose pages would count as memory of the process.
    Raises ValueError for a file that holds no latent or ends early.
    """

    def __init__(self, path: Path):
        self.path, self.like = Path(path), torch.empty(0)
        try:
            with self.path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                about = json.loads(file.read(length))[NAME]
            self.kind, self.dtype = _KINDS[about["dtype"]]
            self.shape = torch.Size(about["shape"])
            self.offset = 8 + length + about["data_offsets"][0]
            whole = self.path.stat().st_size >= 8 + length + about["data_offsets"][1]
        except (KeyError, TypeError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            raise ValueError(f"{self.path.name} is damaged or holds no latent: {error}") from None
        if not whole or len(self.shape) != 5:
            raise ValueError(f"{self.path.name} is damaged or holds no latent: it has shape {tuple(self.shape)}")

    @property
    def device(self) -> torch.device:
        """Where its parts arrive."""
        return self.like.device

    def to(self, like: Tensor) -> StoredLatent:
        """The same latent, whose parts arrive where `like` is and as its kind of numbers."""
        other = copy(self)
        other.like = like
        return other

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Tensor:
        if len(index) != 3 or index[:2] != (slice(None), slice(None)) or index[2].step not in (None, 1):
            raise IndexError("a stored latent is cut along time: latent[:, :, first:last]")
        b, c, t, h, w = self.shape
        first, last, _ = index[2].indices(t)
        part = np.empty((b * c, max(0, last - first), h, w), self.kind)
        with self.path.open("rb") as file:
            for row in range(b * c):
                file.seek(self.offset + (row * t + first) * h * w * self.kind.itemsize)
                part[row] = np.fromfile(file, self.kind, part[row].size).reshape(part[row].shape)
        return torch.from_numpy(part.reshape(b, c, -1, h, w)).view(self.dtype).to(self.like)
