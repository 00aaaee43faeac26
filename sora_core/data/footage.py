"""Real clips as training data: videos of a folder cut into shards without labels, captioned by texts beside them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..randomness import generator
from ..video import CONTAINERS, VideoReader
from .store import Shard, captions_path, write_captions, write_shard

SIDE = 256
"""Pixels of the shorter side that larger videos are reduced to before they are cut."""
CROP = 128
"""Height and width of the clips."""
MOST_NAMED = 6
"""Files that are named of those that are left out."""


def cut_videos(
    videos: Path, out: Path, *, clips: int = 96, num_frames: int = 17, crops: int = 2, seed: int = 0,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Write shards of up to `clips` clips from every video of a folder; shards and captions that exist are kept.

    Every `num_frames` frames give `crops` clips at random places. What a .txt file of the same name says of a video is
    the caption of all its clips; where they have another by now, `say` is told so, of each video that gives none or
    cannot be read to its end, and of other files.
    Raises ValueError when no video has at least 128 pixels a side and `num_frames` frames, and for a shard that exists
    with other clips or another number of them, or captions of another number; before any work for a text that is not
    UTF-8.
    """
    captions = {path: caption_of(path) for path in videos_in(videos)}  # all are read before the work
    if others := left_out(videos, captions):
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        named = ", ".join(others[:MOST_NAMED]) + more
        say(f"left out, as neither videos ({', '.join(CONTAINERS)}) nor their texts: {named}")
    written = 0
    for path, caption in captions.items():
        rows: list[Tensor] = []
        try:
            reader = VideoReader(path, chunk=1)  # frames of 4K take a hundred MB each while they are reduced
        except ValueError as error:  # damaged, or HDR
            say(f"left out: {error}")
            continue
        with reader:
            fps = float(reader.fps)
            draws = generator(seed, "footage", path.name)
            about = {"fps": fps, "world": "footage", "periodic": False, "source": path.name}
            part = 0
            for clip in _while_readable(_cut(reader, num_frames, crops, draws), say):
                rows.append(clip)
                if len(rows) == clips:
                    written += _write(out, part, rows, about, caption, say)
                    rows, part = [], part + 1
            if not rows and not part:
                say(f"{path.name}: left out, it has no {num_frames} frames of at least {CROP}x{CROP} pixels")
            written += _write(out, part, rows, about, caption, say)
    if not written:
        raise ValueError(f"no video in {videos} has {num_frames} frames of at least {CROP}x{CROP} pixels")


def videos_in(folder: Path) -> list[Path]:
    """The videos of a folder by name, but for hidden ones (macOS keeps such beside files on other disks).

    Raises ValueError if there are none.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [p for p in paths if p.suffix.lower() in CONTAINERS and p.is_file() and not p.name.startswith(".")]
    if not found:
        raise ValueError(f"{folder} holds no videos; put files ending in {', '.join(CONTAINERS)} there")
    return found


def left_out(folder: Path, videos: Iterable[Path]) -> list[str]:
    """The files of a folder that are neither `videos` nor texts of one, by name, but for hidden ones."""
    known = {path for video in videos for path in (video, video.with_suffix(".txt"))}
    others = (path for path in folder.iterdir() if path.is_file() and path not in known)
    return sorted(path.name for path in others if not path.name.startswith("."))


def _cut(reader: VideoReader, num_frames: int, crops: int, draws: torch.Generator) -> Iterator[Tensor]:
    """Clips `t h w 3`, uint8."""
    kept: list[Tensor] = []
    for frames in reader:
        kept.append(_reduced(frames)[0])
        h, w = kept[0].shape[:2]
        if min(h, w) < CROP:
            return
        if len(kept) < num_frames:
            continue
        whole, kept = torch.stack(kept), []
        for _ in range(crops):
            y, x0 = (int(torch.randint(room - CROP + 1, (), generator=draws)) for room in (h, w))
            yield whole[:, y : y + CROP, x0 : x0 + CROP].clone()


def _reduced(frames: Tensor) -> Tensor:
    """Frames `t h w 3`, uint8, with at most `SIDE` pixels on the shorter side."""
    h, w = frames.shape[1:3]
    if min(h, w) <= SIDE:
        return frames
    size = (SIDE, round(w * SIDE / h)) if h <= w else (round(h * SIDE / w), SIDE)
    x = frames.permute(0, 3, 1, 2).float()
    x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    return x.round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def _while_readable(clips: Iterator[Tensor], say: Callable[[str], None]) -> Iterator[Tensor]:
    """The clips before the place where a video is damaged: one bad file should not end the work on a thousand."""
    try:
        yield from clips
    except ValueError as error:
        say(f"only what comes before is cut: {error}")


def caption_of(video: Path) -> str:
    """What the text file beside a video says of it; nothing if there is none. Raises ValueError if it is not UTF-8."""
    path = video.with_suffix(".txt")
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split()) if path.is_file() else ""
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not text in UTF-8; save it as UTF-8") from None


def _write(
    out: Path, part: int, rows: list[Tensor], about: dict[str, Any], caption: str, say: Callable[[str], None]
) -> int:  # fmt: skip
    """Write one shard, if there are clips for it, and return how many it holds; its name is that of no other video."""
    if not rows:
        return 0
    name = f"footage_{zlib.crc32(about['source'].encode()):08x}_{part:02d}_{len(rows[0])}x{CROP}x{CROP}.safetensors"
    path = out / name
    shard = Shard.open(path) if path.exists() else None
    if shard is not None and shard.clips != len(rows):
        raise ValueError(
            f"{name} is there with {shard.clips} clips of {about['source']}, not {len(rows)}; choose another folder or"
            " other numbers, or delete it"
        )
    if shard is not None and not all(torch.equal(shard.frames(row), rows[row]) for row in (0, len(rows) - 1)):
        raise ValueError(
            f"{name} is there with other clips of {about['source']}, of another seed or of what that video was before;"
            " choose another folder, or delete it"
        )
    if caption and not captions_path(path).exists():
        write_captions(path, [[caption]] * len(rows))
    if shard is None:
        write_shard(path, torch.stack(rows), torch.zeros(len(rows), 0, dtype=torch.uint8), about)
        say(f"{path.name}: {len(rows)} clips of {about['source']}")
    # They may have been there before their shard, where that was deleted.
    told = Shard.open(path).captions() or ()
    if caption and any(caption not in texts for texts in told):
        say(f"{captions_path(path).name} is kept, though {about['source']} has another text; delete it to have that")
    return len(rows)
