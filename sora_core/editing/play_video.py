"""The video of a play on disk: for each turn a file of the frames that no later turn changes, beside its latent.

So a turn decodes and encodes only what is new, however long the play is. A file counts only with its seal, which stands
for everything that decided its frames; whatever lacks it is made again from the latents.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .. import __version__
from .geometry import Geometry
from .long_state import fingerprint
from .play_state import Play, Turn

_BOX = struct.Struct(">I4s32s")
"""A box that players skip, at the end of an MP4 file: its size, its kind and what it holds."""


@dataclass(frozen=True)
class Segment:
    """Some `frames` of a play in a video file of their own; `key` is all that decides how they look."""

    path: Path
    frames: range
    key: str

    def seal(self) -> None:
        """Say, at the end of the file that was just written, what it is and that it is whole."""
        with self.path.open("ab") as file:
            file.write(self._seal(file.tell()))

    def is_whole(self) -> bool:
        """Whether the file is there, undamaged, and of these frames."""
        try:
            size = self.path.stat().st_size - _BOX.size
            with self.path.open("rb") as file:
                file.seek(max(0, size))
                return file.read() == self._seal(size)
        except OSError:
            return False

    def _seal(self, size: int) -> bytes:
        """The seal of what the first `size` bytes of the file are."""
        digest = hashlib.blake2b(self.key.encode(), digest_size=32)
        with self.path.open("rb") as file:
            while size > 0 and (part := file.read(min(size, 1 << 20))):
                digest.update(part)
                size -= len(part)
        return _BOX.pack(_BOX.size, b"free", digest.digest())


def segments(
    play: Play, turns: Sequence[Turn], latent: Tensor, geometry: Geometry, ahead: int, how: str
) -> list[Segment]:
    """What can be kept of the video of `turns`, whose latent is `1 c t h w`: all but its last frames, in order.

    A frame is final when `ahead` latent frames follow its own, those that decoding looks ahead at. `how` names
    everything else that decides the files: the decoder, the size, the rate and the codec.
    """
    found: list[Segment] = []
    key, cells, start = f"{__version__} {how}", 0, 0
    for number, turn in enumerate(turns, 1):
        part = latent[:, :, cells : cells + turn.latent.frames]
        cells += turn.latent.frames
        # What follows them is never empty, so that a video always has an end to be made.
        stop = min(geometry.num_frames(cells - ahead), turn.video.num_frames - 1)
        key = hashlib.blake2b(f"{key} {fingerprint([part])} {stop}".encode(), digest_size=16).hexdigest()
        if stop > start:
            found.append(Segment(play.segment(number), range(start, stop), key))
            start = stop
    return found
