"""Videos on disk, read and written as streams of frames, so that memory does not grow with the duration."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet

import av
import torch
from torch import Tensor

from .files import whole_or_absent

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Video files by extension, with the muxer of each."""
IMAGES = (".png", ".jpg", ".jpeg", ".webp")
"""Image files by extension."""
_ENCODERS = {"h264": "libx264", "vp9": "libvpx-vp9"}
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


def to_bytes(frames: Tensor) -> Tensor:
    """Frames of any shape as uint8, from uint8 or from floats in [0, 1]. Raises ValueError for NaN and other kinds."""
    if frames.dtype == torch.uint8:
        return frames
    if not frames.is_floating_point():
        raise ValueError(f"frames are {frames.dtype}; give uint8 in 0..255 or floats in 0..1")
    if not torch.isfinite(frames).all():
        raise ValueError("frames hold NaN or infinite pixels; give finite values in 0..1")
    return frames.float().clamp(0, 1).mul(255).round().byte()


class VideoReader:
    """Reads a video frame by frame, upright, in the order of display; every frame once, whatever its duration.

    `width`, `height`, `fps` and, from `num_frames`, the length are known without decoding the file. Iterating gives
    chunks `t h w 3`, uint8, of at most `chunk` frames, and starts again each time.
    Raises FileNotFoundError, or ValueError when the file is damaged or holds no video, also in the middle of it.
    """

    def __init__(self, path: str | Path, *, chunk: int = 16):
        self.path, self.chunk = Path(path), chunk
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it must be at least 1 frame")
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no video {self.path}")
        self._running: WeakSet[Generator[Tensor, None, None]] = WeakSet()
        with self._opened() as (container, stream):
            first = next(self._decode(container, stream), None)
            if first is None:
                raise ValueError(f"{self.path.name} is damaged: its first frame cannot be decoded")
            self.height, self.width = first.shape[:2]
            self.fps = float(stream.average_rate or stream.guessed_rate or 25)
            self._num_frames = stream.frames

    @contextmanager
    def _opened(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        try:
            # Playlists must not make a reader of local files fetch anything.
            container = av.open(str(self.path.resolve()), options={"protocol_whitelist": "file"})
        except (av.FFmpegError, ValueError) as error:
            raise ValueError(f"{self.path.name} is damaged or not a video: {_reason(error)}") from None
        with container:
            streams = container.streams.video
            # FFmpeg draws any text file as a video of a terminal.
            if not streams or streams[0].codec_context is None or container.format.name == "tty":
                raise ValueError(f"{self.path.name} holds no video that can be decoded")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]

    def _decode(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[Tensor]:
        end = 0
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise ValueError(f"{self.path.name} is damaged: a frame in it is incomplete")
                if packet.pts is not None:
                    end = max(end, packet.pts + (packet.duration or 0) - (stream.start_time or 0))
                for frame in packet.decode():
                    yield _upright(frame)
        except av.FFmpegError as error:
            raise ValueError(f"{self.path.name} is damaged: {_reason(error)}") from None
        # FFmpeg takes the end of a truncated file for the end of its video.
        promised, found = _promised_seconds(container, stream), float(end * (stream.time_base or 0))
        if found and found + 1.5 / float(stream.average_rate or 1) < promised:
            raise ValueError(f"{self.path.name} is cut off: it says {promised:.2f} s and ends after {found:.2f} s")

    @property
    def num_frames(self) -> int:
        """Frames in the file; containers that do not say it are counted through once, without decoding."""
        if not self._num_frames:
            with self._opened() as (container, stream):
                self._num_frames = sum(1 for packet in container.demux(stream) if packet.size)
        return self._num_frames

    def __iter__(self) -> Iterator[Tensor]:
        chunks = self._chunks()
        self._running.add(chunks)
        return chunks

    def _chunks(self) -> Generator[Tensor, None, None]:
        with self._opened() as (container, stream):
            pending: list[Tensor] = []
            for frame in self._decode(container, stream):
                pending.append(frame)
                if len(pending) == self.chunk:
                    yield torch.stack(pending)
                    pending = []
            if pending:
                yield torch.stack(pending)

    def close(self) -> None:
        """End iterations that were left half-way, and close the file with them."""
        # Closing the file under a decoder that still runs would crash the process, so its loop ends first.
        for chunks in list(self._running):
            chunks.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _promised_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # The container's own duration may be that of a longer sound track.
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _upright(frame: av.VideoFrame) -> Tensor:
    """One decoded frame as `h w 3`, uint8, in the colours that its tags mean and turned as they say."""
    if frame.format.is_rgb:
        pixels = frame.to_ndarray(format="rgb24")
    else:
        # Files without tags follow the custom of their size: BT.601 below 720 rows, BT.709 from there.
        matrix = "ITU709" if frame.colorspace == _BT709 or (frame.colorspace == 2 and frame.height >= 720) else None
        given = None if matrix else frame.colorspace if frame.colorspace in (4, 5, 7, 9) else "ITU601"
        full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
        pixels = frame.reformat(
            format="rgb24", src_colorspace=matrix or given, dst_colorspace=matrix or given,
            src_color_range="JPEG" if full else "MPEG", dst_color_range="JPEG",
        ).to_ndarray()  # fmt: skip
    turns = round(frame.rotation / 90) % 4
    return torch.from_numpy(pixels).rot90(turns, (0, 1)) if turns else torch.from_numpy(pixels)


class VideoWriter:
    """Writes a video frame by frame; the file appears, whole, when the `with` block ends well, and else not at all.

    The container follows the extension (.mp4, .mov, .mkv or .webm), the codec by default too: h264, and vp9 in .webm.
    `crf` is the quality, lower is better. Colours are BT.709 and tagged so. Halved colour (yuv420p) is for even sizes:
    other sizes are written in yuv444p, exactly as large as asked for, and `note` says so.
    Raises ValueError for sizes, rates, codecs and extensions that cannot be written.
    """

    def __init__(
        self, path: str | Path, width: int, height: int, fps: float, codec: str | None = None, crf: int = 16,
        pixel_format: str = "yuv420p",
    ):  # fmt: skip
        self.path, self.width, self.height = Path(path), width, height
        suffix = self.path.suffix.lower()
        if suffix not in CONTAINERS:
            raise ValueError(f"{self.path.name} ends in {suffix or 'nothing'}; videos end in {', '.join(CONTAINERS)}")
        self.codec = codec or ("vp9" if suffix == ".webm" else "h264")
        if self.codec not in _ENCODERS or (suffix == ".webm" and self.codec != "vp9"):
            fitting = "vp9" if suffix == ".webm" else "h264 or vp9"
            raise ValueError(f"codec {self.codec} does not go into {suffix}; use {fitting}")
        if not (1 <= width <= 16384 and 1 <= height <= 16384):
            raise ValueError(f"the size is {width}x{height}; videos are 1x1 to 16384x16384")
        if not (math.isfinite(fps) and 0.01 <= fps <= 1000):
            raise ValueError(f"fps is {fps}; it must be between 0.01 and 1000, for instance 24")
        self.fps, self.crf, self.num_frames, self.note = fps, crf, 0, ""
        self.pixel_format = pixel_format
        if pixel_format == "yuv420p" and (width % 2 or height % 2):
            self.pixel_format = "yuv444p"
            self.note = f"{width}x{height} is odd, so the colours are written in full resolution (yuv444p)"
        self._file: AbstractContextManager[Path] | None = None

    def __enter__(self) -> VideoWriter:
        self._file = whole_or_absent(self.path)
        temporary = self._file.__enter__()
        try:
            self._container = av.open(str(temporary), "w", format=CONTAINERS[self.path.suffix.lower()])
            self._stream = self._add_stream()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _add_stream(self) -> av.VideoStream:
        rate = Fraction(self.fps).limit_denominator(1001)
        options = {"crf": str(self.crf)} | ({"b": "0"} if self.codec == "vp9" else {"preset": "medium"})
        stream = self._container.add_stream(_ENCODERS[self.codec], rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.pixel_format
        context = stream.codec_context
        context.time_base = 1 / rate
        context.thread_count = _THREADS
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        return stream

    def write(self, frames: Tensor) -> None:
        """Append frames `t h w 3`, uint8 or floats in [0, 1]. Raises ValueError for another size or for NaN."""
        if frames.ndim != 4 or frames.shape[1:] != (self.height, self.width, 3):
            raise ValueError(
                f"frames are {tuple(frames.shape)}; this video takes (t, h, w, 3) = (t, {self.height}, {self.width}, 3)"
            )
        for frame in frames:
            pixels = to_bytes(frame.detach()).cpu().contiguous().numpy()
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=self.pixel_format, src_color_range="JPEG", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            picture.pts = self.num_frames
            picture.time_base = self._stream.codec_context.time_base
            self._mux(picture)
            self.num_frames += 1

    def _mux(self, picture: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise ValueError(f"{self.path.name} cannot be written: {_reason(error)}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        if kind is None:
            try:
                if not self.num_frames:
                    raise ValueError(f"no frame was written to {self.path.name}; a video has at least one")
                self._mux(None)
                self._container.close()
            except BaseException as failure:
                self.__exit__(type(failure), failure, failure.__traceback__)
                raise
        elif hasattr(self, "_container"):
            # The encoder may complain once more about what went wrong before.
            with suppress(av.FFmpegError, ValueError):
                self._container.close()
        self._file.__exit__(kind, error, trace)


def write_image(path: str | Path, image: Tensor) -> None:
    """Write `h w 3`, uint8 or floats in [0, 1], as PNG, JPEG or WebP by extension; the file is whole or absent."""
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
