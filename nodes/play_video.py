"""The video of a play as a file: what is new is decoded, and put behind the frames that are on disk."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from sora_core.editing.geometry import Geometry
from sora_core.editing.long_state import fingerprint
from sora_core.editing.play_state import Play, Turn
from sora_core.editing.play_video import segments
from sora_core.shapes import VideoShape
from sora_core.video import CODECS, VideoWriter
from sora_core.video_join import join

from .compat import weight_samples
from .decode import frames_from, reach_in_time
from .movie import interruptible, temporary_file

CHUNK = 4
"""Latent frames that are decoded at a time."""


def film(vae: Any, latent: Tensor, play: Play, turns: list[Turn], geometry: Geometry) -> Path:
    """The video of all `turns`, whose latent is `1 c t h w`, as a temporary file; `play` keeps what is final of it.

    What it has kept is taken as it is. The rest is decoded in one go, of which only the end is not kept: the next turn
    decides how it looks. Raises ValueError when the disk refuses.
    """
    video = turns[-1].video
    parts = segments(play, turns, latent, geometry, reach_in_time(vae)[1], identity(vae, video))
    kept = list(takewhile(lambda part: part.is_whole(), parts))
    start = kept[-1].frames.stop if kept else 0
    chunks = frames_from(vae, latent, video, CHUNK, start, geometry)
    frames = (frame for chunk in interruptible(chunks, video.num_frames - start) for frame in chunk)
    end, path = temporary_file(), temporary_file()
    try:
        for part in parts[len(kept) :]:
            _write(part.path, islice(frames, len(part.frames)), video)
            part.seal()
        note = _write(end, frames, video)
        join([*(part.path for part in parts), end], path, video.fps)
    finally:
        end.unlink(missing_ok=True)
    if note:
        logging.info("Sora: %s", note)
    return path


def identity(vae: Any, video: VideoShape) -> str:
    """What decides the file of a latent's frames, beside the latent: by whom they are decoded and written, and how."""
    decoder = fingerprint(weight_samples(vae.patcher)), vae.vae_dtype, reach_in_time(vae)
    return repr((decoder, video.width, video.height, video.fps, CODECS["h264"], av.library_versions))


def _write(path: Path, frames: Iterable[Tensor], video: VideoShape) -> str:
    """Write `frames`, each `h w 3`, to a file that is whole or absent, and return the note on it."""
    with VideoWriter(path, video.width, video.height, video.fps) as writer:
        for frame in frames:
            writer.write(frame[None])
    return writer.note
