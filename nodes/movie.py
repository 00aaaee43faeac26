"""ComfyUI's VIDEO and IMAGE as frames, and frames as a VIDEO on file."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import av
import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import InputImpl
from torch import Tensor

from sora_core.pixels import to_floats
from sora_core.sound import Soundtrack, read_sound, resampled, write_sound
from sora_core.video import VideoReader, VideoWriter

from .compat import is_edited, trimmed_part

SOUND = "sora_sound"
"""Key of a LATENT under which the `Soundtrack` travels that the decoder copies beside the frames made from it."""
HELD = "sora_held"
"""Key of a LATENT whose last latent frame shows the video's last frame standing still for as long as it was missing."""
IMAGE_FPS = 8.0
"""Frames per second of images that nothing else tells."""


def part_of(video: Any) -> tuple[str, float, float | None] | None:
    """The file of a VIDEO, the second of it at which the video begins, and how many it lasts, or None for the rest.

    None for a VIDEO in memory.
    """
    source = video.get_stream_source() if isinstance(video, InputImpl.VideoFromFile) else None
    if not isinstance(source, str):
        return None
    try:
        whole = abs(InputImpl.VideoFromFile(source).get_duration() - video.get_duration()) < 1e-3
    except av.FFmpegError:  # damaged or gone, which its reader says in one sentence
        whole = True
    except ValueError:  # no duration, or tags in another encoding: ComfyUI stops there and the file's reader does not
        whole = not any(trimmed_part(video) or ())
    if whole:
        return source, 0.0, None
    trimmed = trimmed_part(video)
    return None if trimmed is None else (source, trimmed[0], trimmed[1] or None)


def shows_its_file(video: Any) -> bool:
    """Whether a VIDEO on file shows its pictures as they are, neither cropped nor resized."""
    try:
        return not is_edited(video)
    except (av.FFmpegError, AttributeError, ValueError):  # no pictures, which the file's reader says in one sentence
        return True


def sound_in(video: Any) -> dict[str, Any]:
    """Where the sound of a VIDEO is, for the LATENT of its frames: in its file, or a file made for one in memory."""
    part = part_of(video)
    if part is not None:
        source, start, _ = part
        return {SOUND: Soundtrack(Path(source), start)}
    samples = heard(video, math.inf)
    return {} if samples is None else {SOUND: Soundtrack(stored_sound(temporary_file(), samples))}


def heard(video: Any, seconds: float) -> Tensor | None:
    """So many seconds of the sound of a VIDEO as `read_sound` gives it; None for an IMAGE, and if there is none."""
    if isinstance(video, Tensor):
        return None
    part = part_of(video)
    if part is not None:
        return read_sound(Path(part[0]), part[1], seconds)
    audio = video.get_components().audio
    return None if audio is None else resampled(audio["waveform"][0], audio["sample_rate"], seconds)


def frames_of(video: Any, chunk: int, fps: float = 0.0) -> tuple[Iterator[Tensor], float, int]:
    """Chunks of frames `t h w 3` of a VIDEO, its rate and their number; read from its file if it shows that.

    Of an IMAGE the rate is `fps`, or `IMAGE_FPS` if that is 0.
    """
    if isinstance(video, Tensor):
        return iter(in_colour(video).split(chunk)), fps or IMAGE_FPS, len(video)
    part = part_of(video)
    if part is not None and shows_its_file(video):
        source, start, seconds = part
        reader = VideoReader(source, chunk=chunk, start=start, seconds=seconds)
        if reader.note:
            logging.info("Sora: %s: %s", reader.path.name, reader.note)
        return iter(reader), reader.fps, reader.num_frames
    components = video.get_components()
    return iter(in_colour(components.images).split(chunk)), float(components.frame_rate), len(components.images)


def in_colour(images: Tensor) -> Tensor:
    """An IMAGE `t h w c` in three colours, whether it is grey or has transparency."""
    return images.expand(-1, -1, -1, 3) if images.shape[-1] == 1 else images[..., :3]


def shown_at(total: int, rate: float, fps: float) -> Tensor:
    """Which of `total` frames of one rate a player shows at each moment of another: their numbers, in order.

    A picture stays one, whatever rate its VIDEO was given.
    """
    if total == 1:
        return torch.zeros(1, dtype=torch.long)
    count = max(1, round(total / rate * fps))
    # A frame that begins at the moment itself is shown, whatever rounding does to the quotient, or to one of the rates:
    # files at 29.97 and at 30000/1001 frames per second are of one rate.
    moments = torch.arange(count, dtype=torch.float64) * rate / fps
    return (moments + 0.01).floor().long().clamp(max=total - 1)


def selected(chunks: Iterable[Tensor], wanted: Tensor) -> Iterator[Tensor]:
    """Of chunks of frames `t h w c` those whose numbers `wanted` lists, in order, each as often as it is listed."""
    start = 0
    for chunk in chunks:
        if start > wanted[-1]:  # not before: what gives the chunks tells its progress when it is asked for more
            return
        here = wanted[(wanted >= start) & (wanted < start + len(chunk))] - start
        start += len(chunk)
        if torch.equal(here, torch.arange(len(chunk))):
            yield chunk  # a whole video is not copied for nothing
        else:
            yield from (chunk[part] for part in here.split(16) if len(part))


def everything(count: int, rate: float) -> slice:
    """All of `count` frames."""
    return slice(None)


def _opened(movie: Any) -> tuple[Iterator[Tensor], float | None, int]:
    """What `frames_of` gives, in a single chunk and without a rate for an IMAGE. Raises ValueError without frames."""
    chunks, rate, total = frames_of(movie, max(1, len(movie)) if isinstance(movie, Tensor) else 16)
    if not total:
        raise ValueError("there are no frames; connect an image or a video of at least one")
    return chunks, None if isinstance(movie, Tensor) else rate, total


def _taken(
    opened: tuple[Iterator[Tensor], float | None, int], rate: float, part: Callable[[int, float], slice]
) -> tuple[Tensor, int]:
    """A part of the frames of a movie at a rate, `1 3 t h w` in [0, 1], and how many they all are."""
    chunks, own, total = opened
    shown = shown_at(total, own or rate, rate)
    kept = list(selected(interruptible(chunks, total), shown[part(len(shown), rate)]))
    # Floats take four times the memory of bytes.
    return to_floats(kept[0] if len(kept) == 1 else torch.cat(kept)).movedim(-1, 0)[None], len(shown)


def to_frames(movie: Any, fps: float) -> tuple[Tensor, float]:
    """Frames `1 3 t h w` in [0, 1] of an IMAGE or a VIDEO and their rate: `fps`, which a VIDEO is converted to.

    With `fps` 0 it is the VIDEO's own rate, or 8 for images. Raises ValueError when there are none.
    """
    return part_of_frames(movie, fps, everything)[:2]


def part_of_frames(movie: Any, fps: float, part: Callable[[int, float], slice]) -> tuple[Tensor, float, int]:
    """What `to_frames` gives, but only a part of the frames, which alone is held in memory, and the number of all.

    `part` is asked for it with that number and the rate.
    """
    opened = _opened(movie)
    rate = fps or opened[1] or IMAGE_FPS
    frames, count = _taken(opened, rate, part)
    return frames, rate, count


def pair_of_frames(
    first: Any, second: Any, fps: float,
    parts: tuple[Callable[[int, float], slice], Callable[[int, float], slice]] = (everything, everything),
) -> tuple[Tensor, Tensor, float]:  # fmt: skip
    """Frames of two movies and the rate that both have: `fps`, or that of what knows one. `parts` as above.

    Raises ValueError when `fps` is 0 and two VIDEOs have different rates, or one has no frames.
    """
    both = [_opened(movie) for movie in (first, second)]
    known = [rate for _, rate, _ in both if rate is not None]
    if not fps and len(known) == 2 and abs(known[0] - known[1]) > 0.01 * max(known):
        raise ValueError(
            f"the videos run at {known[0]:g} and {known[1]:g} fps; set fps to the rate that both shall be converted to"
        )
    fps = fps or (known[0] if known else IMAGE_FPS)
    a, b = (_taken(opened, fps, part)[0] for opened, part in zip(both, parts, strict=True))
    return a, b, fps


def frames_within(what: str, seconds: float, rate: float, available: int) -> int:
    """How many frames so many seconds are. Raises ValueError, in seconds as users give them, above those `available`.

    `what` names the input.
    """
    count = round(seconds * rate)
    if count > available:
        raise ValueError(
            f"the {what} is {seconds:g} s, {count} frames, but the video has {available} at {rate:g} fps: give at most"
            f" {available / rate:g} s"
        )
    return count


def to_image(video: Tensor) -> Tensor:
    """`1 3 t h w` as ComfyUI's IMAGE, `t h w 3`."""
    return video[0].movedim(0, -1)


def interruptible(chunks: Iterable[Tensor], total: int) -> Iterator[Tensor]:
    """The same chunks of `total` frames, with progress reported, as long as nobody has asked ComfyUI to stop."""
    progress = comfy.utils.ProgressBar(total)
    for frames in chunks:
        comfy.model_management.throw_exception_if_processing_interrupted()
        yield frames
        progress.update(len(frames))


def temporary_file() -> Path:
    """A new name for a video among ComfyUI's temporary files."""
    return Path(folder_paths.get_temp_directory()) / f"sora_{secrets.token_hex(8)}.mp4"


def stored_sound(video: Path, samples: Tensor) -> Path:
    """Write samples as `heard` gives them to a file beside that of a video, and return its path."""
    path = video.with_suffix(".m4a")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sound(path, samples)
    return path


def played(path: Path) -> dict[str, Any]:
    """What makes a block's own panel play one of `temporary_file`'s videos.

    Only our panel knows this word, so the page shows the video in the block and history keeps no second one.
    """
    return {"sora_video": [{"filename": path.name, "subfolder": "", "type": "temp"}]}


def to_video(images: Tensor, fps: float, repeats: int = 1, sound: Tensor | None = None) -> Any:
    """An IMAGE batch, shown so many times, as a VIDEO on file: of any size, odd ones too.

    `sound` are samples as `heard` gives them.
    """
    path, chunks = temporary_file(), (part for _ in range(repeats) for part in images.split(16))
    if sound is None:
        write(path, chunks, fps, repeats * len(images))
    else:
        track = path.with_suffix(".m4a")
        try:
            write(path, chunks, fps, repeats * len(images), Soundtrack(stored_sound(path, sound)))
        finally:
            track.unlink(missing_ok=True)
    return InputImpl.VideoFromFile(str(path))


def write(
    path: Path, chunks: Iterable[Tensor], fps: float, total: int, sound: Soundtrack | None = None, **options: Any
) -> None:
    """Write chunks of `total` frames to a video file that is whole or absent, and report progress.

    `options` are those of `VideoWriter`.
    """
    progress = comfy.utils.ProgressBar(total)
    rest = iter(chunks)
    first = next(rest)
    track = sound if sound and sound.source.is_file() else None
    if sound and track is None:
        logging.warning("Sora: %s is gone, and with it the sound of the video that was made from it", sound.source)
    with VideoWriter(path, first.shape[2], first.shape[1], fps, sound=track, **options) as writer:
        if writer.note:
            logging.info("Sora: %s", writer.note)
        for frames in chain([first], rest):
            comfy.model_management.throw_exception_if_processing_interrupted()
            writer.write(frames)
            progress.update(len(frames))
