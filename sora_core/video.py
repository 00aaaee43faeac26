"""Videos and images on disk, written as streams of frames, so that memory does not grow with the duration."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import torch
from torch import Tensor

from .files import whole_or_absent
from .pixels import in_range, to_bytes
from .sound import Sound, Soundtrack
from .video_reader import VideoReader as VideoReader
from .video_reader import reason

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Video files by extension, with the muxer of each."""
IMAGES = (".png", ".jpg", ".jpeg", ".webp")
"""Image files by extension."""


@dataclass(frozen=True)
class Codec:
    """How one codec is written: its encoder, the pixel formats that it takes, its worst `crf` and its settings."""

    encoder: str
    pixel_formats: tuple[str, ...]
    worst: int
    settings: dict[str, str]


# Encoders hold back the frames that they look ahead at, by default 25 to 60; so few that memory does not grow with the
# first seconds of a video cost it 1 to 4 % in size. Threads share each frame for the same reason.
CODECS = {
    "h264": Codec(
        "libx264", ("yuv420p", "yuv444p", "yuv420p10le"), 51,
        {"preset": "medium", "x264-params": "rc-lookahead=8:sync-lookahead=0:sliced-threads=1"},
    ),
    "vp9": Codec("libvpx-vp9", ("yuv420p", "yuv444p"), 63, {"b": "0", "lag-in-frames": "8"}),
}  # fmt: skip
"""What videos are written with, by name; no AV1: as root, its encoder gives the whole process real-time priority."""
PIXEL_FORMATS = ("yuv420p", "yuv444p", "yuv420p10le")
"""Colours at half resolution, at full resolution, and at half resolution with 10 bits."""
_BT709 = 1  # the number that ITU-T H.273 gives BT.709 primaries, transfer and matrix alike
_LIMITED = 1
# Encoders divide their work by threads; a fixed number makes the file the same on every machine.
_THREADS = 4


def is_image(path: Path) -> bool:
    """Whether a file name stands for a still image. Raises ValueError for one that is neither image nor video."""
    suffix = path.suffix.lower()
    if suffix not in IMAGES and suffix not in CONTAINERS:
        raise ValueError(f"{path.name} ends in {suffix or 'nothing'}; use {', '.join((*CONTAINERS, *IMAGES))}")
    return suffix in IMAGES


def _picture(frame: Tensor, deep: bool) -> av.VideoFrame:
    """One frame `h w 3`, uint8 or floats in [0, 1], as RGB of 8 bits, or of 16 if it is to be `deep`."""
    if not deep:
        return av.VideoFrame.from_ndarray(to_bytes(frame).cpu().contiguous().numpy(), format="rgb24")
    words = in_range(frame).mul(65535).round().to(torch.int32).cpu().contiguous().numpy().astype("uint16")
    return av.VideoFrame.from_ndarray(words, format="rgb48le")


class VideoWriter:
    """Writes a video frame by frame; the file appears, whole, when the `with` block ends well, and else not at all.

    The container follows the extension (.mp4, .mov, .mkv or .webm), the codec by default too: h264, and vp9 in .webm.
    `crf` is the quality, lower is better. Colours are BT.709 and tagged so. Halved colour (yuv420p) is for even sizes:
    other sizes are written in yuv444p, exactly as large as asked for, and `note` says so. `sound` is copied as far
    as the frames reach.
    Raises ValueError for sizes, rates, codecs, qualities, pixel formats and extensions that cannot be written or do not
    go together, and when the disk refuses.
    """

    def __init__(
        self, path: str | Path, width: int, height: int, fps: float, codec: str | None = None, crf: int = 16,
        pixel_format: str = "yuv420p", sound: Soundtrack | None = None,
    ):  # fmt: skip
        self.path, self.width, self.height = Path(path), width, height
        suffix = self.path.suffix.lower()
        if suffix not in CONTAINERS:
            raise ValueError(f"{self.path.name} ends in {suffix or 'nothing'}; videos end in {', '.join(CONTAINERS)}")
        self.codec = codec or ("vp9" if suffix == ".webm" else "h264")
        fitting = ("vp9",) if suffix == ".webm" else tuple(CODECS)
        if self.codec not in fitting:
            raise ValueError(f"codec {self.codec} does not go into {suffix}; use {' or '.join(fitting)}")
        how = CODECS[self.codec]
        if how.encoder not in av.codecs_available:
            raise ValueError(f"this PyAV has no {how.encoder}; use another codec than {self.codec}")
        if pixel_format not in how.pixel_formats:
            raise ValueError(f"{self.codec} is not written in {pixel_format}; use {' or '.join(how.pixel_formats)}")
        if not 0 <= crf <= how.worst:
            raise ValueError(f"crf is {crf}; {self.codec} takes 0 (best) to {how.worst}")
        if not (1 <= width <= 16384 and 1 <= height <= 16384):
            raise ValueError(f"the size is {width}x{height}; videos are 1x1 to 16384x16384")
        if not (math.isfinite(fps) and 0.01 <= fps <= 1000):
            raise ValueError(f"fps is {fps}; it must be between 0.01 and 1000, for instance 24")
        self.fps, self.crf, self.num_frames, self.note = fps, crf, 0, ""
        self.pixel_format, self._track = pixel_format, sound
        self._sound: Sound | None = None
        if pixel_format != "yuv444p" and (width % 2 or height % 2):
            if pixel_format != "yuv420p":
                raise ValueError(
                    f"{width}x{height} is odd and {pixel_format} halves the colours; use an even size or yuv444p"
                )
            self.pixel_format = "yuv444p"
            self.note = f"{width}x{height} is odd, so the colours are written in full resolution (yuv444p)"
        self._file: AbstractContextManager[Path] | None = None

    def __enter__(self) -> VideoWriter:
        file, self.num_frames = whole_or_absent(self.path), 0
        try:
            temporary = file.__enter__()
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written: {reason(error)}") from None
        self._file = file
        try:
            self._container = av.open(str(temporary.resolve()), "w", format=CONTAINERS[self.path.suffix.lower()])
            self._stream = self._add_stream()
            if self._track is not None:
                self._sound = Sound(self._track, self._container)
                self.note = "; ".join(filter(None, (self.note, self._sound.note)))
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            if isinstance(error, OSError):
                raise ValueError(f"{self.path} cannot be written: {reason(error)}") from None
            raise
        return self

    def _add_stream(self) -> av.VideoStream:
        rate = Fraction(self.fps).limit_denominator(1001)
        how = CODECS[self.codec]
        options = {"crf": str(self.crf)} | how.settings
        stream = self._container.add_stream(how.encoder, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.pixel_format
        context = stream.codec_context
        context.time_base = 1 / rate
        context.thread_count = _THREADS
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        return stream

    def write(self, frames: Tensor) -> None:
        """Append frames `t h w 3`, uint8 or floats in [0, 1].

        Raises ValueError for another size, for NaN, and outside of the `with` block.
        """
        if self._file is None:
            raise ValueError(f"{self.path.name} is not open; write its frames inside: with VideoWriter(...) as file")
        if frames.ndim != 4 or frames.shape[1:] != (self.height, self.width, 3):
            raise ValueError(
                f"frames are {tuple(frames.shape)}; this video takes (t, h, w, 3) = (t, {self.height}, {self.width}, 3)"
            )
        for frame in frames:
            picture = _picture(frame.detach(), self.pixel_format.endswith("10le")).reformat(
                format=self.pixel_format, src_color_range="JPEG", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            picture.pts = self.num_frames
            picture.time_base = self._stream.codec_context.time_base
            self._mux(picture)
            self.num_frames += 1
            if self._sound is not None:
                self._sound.up_to(self.num_frames / self.fps)

    def _mux(self, picture: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise ValueError(f"{self.path.name} cannot be written: {reason(error)}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        if self._sound is not None:
            self._sound.close()
        if kind is None:
            try:
                if not self.num_frames:
                    raise ValueError(f"no frame was written to {self.path.name}; a video has at least one")
                self._mux(None)
                self._container.close()
            except BaseException as failure:
                self.__exit__(type(failure), failure, failure.__traceback__)
                if isinstance(failure, OSError):
                    raise ValueError(f"{self.path.name} cannot be written: {reason(failure)}") from None
                raise
        elif hasattr(self, "_container"):
            # The encoder may complain once more about what went wrong before.
            with suppress(OSError, ValueError):
                self._container.close()
        file, self._file = self._file, None
        try:
            file.__exit__(kind, error, trace)
        except OSError as failure:
            raise ValueError(f"{self.path} cannot be written: {reason(failure)}") from None


def write_image(path: str | Path, image: Tensor) -> None:
    """Write `h w 3`, uint8 or floats in [0, 1], as PNG, JPEG or WebP by extension; the file is whole or absent.

    Raises ValueError for another extension or shape and what `to_bytes` raises, and OSError when it cannot be written.
    """
    from PIL import Image

    path = Path(path)
    if path.suffix.lower() not in IMAGES:
        raise ValueError(f"{path.name} ends in {path.suffix or 'nothing'}; images end in {', '.join(IMAGES)}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image is {tuple(image.shape)}; it must be (h, w, 3)")
    picture = Image.fromarray(to_bytes(image.detach()).cpu().contiguous().numpy())
    kind = {".png": "PNG", ".webp": "WEBP"}.get(path.suffix.lower(), "JPEG")
    # Lossy WebP would halve the colours; JPEG can keep them.
    kinds: dict[str, dict[str, Any]] = {
        "PNG": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}
    }  # fmt: skip
    options = kinds[kind]
    with whole_or_absent(path) as temporary:
        picture.save(temporary, kind, **options)
