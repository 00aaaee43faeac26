"""Reading videos as streams of frames: by their timestamps, upright, from any time on, and never silently wrong."""

from __future__ import annotations

import math
import shlex
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from heapq import heappop, heappush
from itertools import islice, pairwise
from pathlib import Path
from weakref import WeakSet

import av
import torch
from torch import Tensor

from .frame_colours import display_matrix, note_on, upright

LOOKED_AT = 1000
"""Packets by which it is told whether a stream keeps its rate."""
REORDERING = ("h264", "hevc")
"""Codecs whose pictures FFmpeg times in the order of decoding where a container, AVI, says nothing of their display."""


class VideoReader:
    """Reads a video at a constant rate, upright, in the order of display, in memory that does not grow.

    Frames are those shown at multiples of 1 / `fps`: every frame once where the file has one rate, and where its
    timestamps vary, the one on screen at that time. Iterating gives chunks `t h w 3`, uint8, of at most `chunk` frames,
    and starts again each time. `start` and `seconds` choose a part; only that, from the key frame before it, is read.
    `note` says what was converted.
    Raises FileNotFoundError, or ValueError when the file is damaged, is HDR or holds no video, also in its middle, and
    where its size changes, or it ends before `start`.
    """

    def __init__(self, path: str | Path, *, chunk: int = 16, start: float = 0.0, seconds: float | None = None):
        self.path, self.chunk, self.start, self.seconds = Path(path), chunk, start, seconds
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it must be at least 1 frame")
        if not (math.isfinite(start) and start >= 0):
            raise ValueError(f"start is {start} seconds; it must be 0 or more")
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError(f"seconds is {seconds}; it must be above 0, or None for all of the video")
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no video {self.path}")
        self._running: WeakSet[Generator[Tensor, None, None]] = WeakSet()
        self._counted = 0
        with self._opened() as opened:  # apart, as files of one image cannot be gone back in
            self.rate, self.variable = _rate(*opened)
        with self._opened() as (container, stream):
            self.fps = float(self.rate)
            if not (self.variable or start or seconds):
                self._counted = _promised_frames(stream, self.rate)
            promised = _promised_seconds(container, stream)
            if promised and start >= promised:
                raise ValueError(f"{self.path.name} is {promised:.2f} s long; there is nothing at {start:.2f} s")
            self._origin = self._begin()
            first = next(self._decoded(container, stream, start), None)
            if first is None:
                raise ValueError(f"{self.path.name} is damaged: its first frame cannot be decoded")
            try:
                notes = [note_on(first, stream.codec_context)]
            except ValueError as error:
                raise ValueError(f"{self.path.name} cannot be read: {error}") from None
            self._turn = display_matrix(first)
            self.height, self.width = upright(first, self._turn).shape[:2]
            if self.variable:
                notes.append(f"its frame rate varies, so frames are read at {self.fps:g} per second by their times")
            if stream.metadata.get("alpha_mode") == "1":
                notes.append("its transparency is not read")
            self.note = "; ".join(filter(None, notes))

    @contextmanager
    def _opened(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        try:
            container = open_local(self.path)
        except (av.FFmpegError, ValueError) as error:
            raise ValueError(f"{self.path.name} is damaged or not a video: {reason(error)}") from None
        with container:
            streams = container.streams.video
            # FFmpeg draws any text file as a video of a terminal.
            if not streams or streams[0].codec_context is None or container.format.name == "tty":
                raise ValueError(f"{self.path.name} holds no video that can be decoded")
            # Threads that decode whole frames ahead would hold many of them.
            streams[0].thread_type = "SLICE"
            yield container, streams[0]

    def _begin(self) -> int:
        """When the first picture is shown, in ticks: a container may begin before it, where frames wait for others."""
        with self._opened() as (container, stream):
            self._origin = stream.start_time or 0
            try:
                first = next(self._decoded(container, stream, 0.0), None)
            except ValueError:  # a part further on can be read all the same
                first = None
            return self._origin if first is None or first.pts is None else first.pts

    def _decoded(
        self, container: av.container.InputContainer, stream: av.VideoStream, start: float,
        reached: list[int] | None = None,
    ) -> Iterator[av.VideoFrame]:  # fmt: skip
        """Frames from the key frame before `start` on; `reached` takes the end of each packet, in ticks.

        Raises ValueError where the file is damaged or cut off.
        """
        base, found, end = stream.time_base or Fraction(1), 0, 0
        origin, begin = self._origin, stream.start_time or 0
        # A container without durations of streams, such as Matroska, says when the longest of them ends.
        whole = 0.0 if _own_seconds(container, stream) is not None else (container.duration or 0) / 1e6
        longest = 0.0
        # Pictures come in the order of display, so that the earliest time that is left is that of the next.
        context = stream.codec_context
        misplaced = container.format.name == "avi" and context.name in REORDERING and context.has_b_frames
        times: list[int] = []
        try:
            if start:
                self._seek(container, stream, start)
            for packet in container.demux() if whole else container.demux(stream):
                if packet.pts is not None:
                    longest = max(longest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index != stream.index:
                    continue
                if packet.is_corrupt:
                    raise ValueError(self._damaged(container, stream, found, "a frame in it is incomplete"))
                if packet.pts is not None:
                    end = max(end, packet.pts + (packet.duration or 0) - begin)
                    if misplaced and packet.size:
                        heappush(times, packet.pts)
                    if reached is not None:
                        reached[0] = max(reached[0], packet.pts + _duration(packet.duration, base, self.rate) - origin)
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    if frame.is_corrupt:
                        raise ValueError(self._damaged(container, stream, found, "a frame in it is incomplete"))
                    found += 1
                    if times:
                        frame.pts = heappop(times)
                    yield frame
        except av.FFmpegError as error:
            raise ValueError(self._damaged(container, stream, found, reason(error))) from None
        # FFmpeg takes the end of a truncated file for the end of its video.
        promised, there = whole or _promised_seconds(container, stream), longest if whole else float(end * base)
        if there and there + max(1.5 / self.fps, 0.1 if whole else 0.0) < promised:
            raise ValueError(
                f"{self.path.name} is cut off: {self._share(container, stream, found)}, {there:.2f} of {promised:.2f} s"
            )

    def _seek(self, container: av.container.InputContainer, stream: av.VideoStream, start: float) -> None:
        """Go to a key frame from which what is shown at `start` can be decoded, as near as there is one.

        Containers go to packets by when they are decoded, or to any packet, and what is shown before a key frame may
        need the one before it. So the first picture that comes from there tells whether to go further back.
        """
        base, back = stream.time_base or Fraction(1), 0.0
        while True:
            place = self._origin + int((start - back) / base)
            _go(container, stream, place)
            first = next((frame for packet in container.demux(stream) for frame in packet.decode()), None)
            shown = math.inf
            if isinstance(first, av.VideoFrame) and not first.is_corrupt:
                shown = float(((first.pts or 0) - self._origin) * base)
            if shown < start + 0.5 / self.fps or back > start + 1:
                return _go(container, stream, place)
            back = max(1.0, 2 * back)

    def _damaged(
        self, container: av.container.InputContainer, stream: av.VideoStream, found: int, why: str
    ) -> str:  # fmt: skip
        return f"{self.path.name} is damaged: {self._share(container, stream, found)} ({why})"

    def _share(self, container: av.container.InputContainer, stream: av.VideoStream, found: int) -> str:
        total = stream.frames or round(_promised_seconds(container, stream) * self.fps)
        return f"only {found} of {total or 'an unknown number of'} frames can be read"

    @property
    def num_frames(self) -> int:
        """Frames that iterating gives; where the file does not say it, its packets are gone through once, undecoded."""
        if not self._counted:
            with self._opened() as (container, stream):
                base = stream.time_base or Fraction(1)
                ends = (
                    (packet.pts or 0) + _duration(packet.duration, base, self.rate) - self._origin
                    for packet in container.demux(stream)
                    if packet.size
                )
                length = float(max(ends, default=0) * base)
            self._counted = int(min(self._most(), max(1, round((length - self.start) * self.fps))))
        return self._counted

    def _most(self) -> float:
        """Frames that a part has at most."""
        return math.inf if self.seconds is None else max(1, round(self.seconds * self.fps))

    def __iter__(self) -> Iterator[Tensor]:
        chunks = self._chunks()
        self._running.add(chunks)
        return chunks

    def _picture(self, frame: av.VideoFrame) -> Tensor:
        """A frame as it is shown, `h w 3`. Raises ValueError where the video goes on in another size."""
        picture = upright(frame, self._turn)
        h, w = picture.shape[:2]
        if (h, w) != (self.height, self.width):
            when = f" at {frame.time:.2f} s" if frame.time is not None else ""
            raise ValueError(
                f"{self.path.name} changes from {self.width}x{self.height} to {w}x{h} pixels{when}; bring all of it to"
                " one size first, for instance with ffmpeg"
            )
        return picture

    def _timed(self) -> Iterator[Tensor]:
        """The pictures on screen at multiples of 1 / fps from `start` on, `h w 3`: frames last until the next one."""
        with self._opened() as (container, stream):
            base, origin = stream.time_base or Fraction(1), self._origin
            limit = self._most()
            shown: Tensor | None = None
            given, reached, timed = 0, [0], False
            for frame in self._decoded(container, stream, self.start, reached):
                if frame.pts is None:  # pictures and raw streams have no times
                    yield self._picture(frame)
                    continue
                begin, timed = float((frame.pts - origin) * base) - self.start, True
                # A time within half a frame counts as this frame's own: timestamps are often rounded.
                while shown is not None and given < limit and (given + 0.5) / self.fps <= begin:
                    yield shown
                    given += 1
                if given >= limit:
                    return
                stop = begin + float(_duration(getattr(frame, "duration", None), base, self.rate) * base)
                if (given + 0.5) / self.fps <= begin and shown is None:
                    shown = self._picture(frame)  # the part begins before its first frame
                elif shown is not None or stop > (given - 0.5) / self.fps:
                    shown = self._picture(frame)
            if timed and shown is None:  # only some containers say beforehand when their pictures end
                raise ValueError(f"{self.path.name} shows nothing any more at {self.start:.2f} s; begin earlier")
            left = float(reached[0] * base) - self.start
            while shown is not None and given < min(limit, max(1, round(left * self.fps))):
                yield shown
                given += 1

    def _chunks(self) -> Generator[Tensor, None, None]:
        pending: list[Tensor] = []
        for picture in self._timed():
            pending.append(picture)
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


def open_local(path: Path) -> av.container.InputContainer:
    """Open a file with pictures or sound, in whatever its tags are written. Raises what PyAV raises."""
    # Playlists must not make a reader of local files fetch anything.
    name, options = str(path.resolve()), {"protocol_whitelist": "file"}
    try:
        return av.open(name, options=options)
    except UnicodeDecodeError:  # a title in GBK, for instance
        return av.open(name, options=options, metadata_errors="replace")


def _go(container: av.container.InputContainer, stream: av.VideoStream, place: int) -> None:
    """Go to what a container takes for the key frame before a time, in ticks, or else to the first after it."""
    try:
        container.seek(place, stream=stream)
    except av.FFmpegError:
        container.seek(place, stream=stream, backward=False)


def _go_back(container: av.container.InputContainer) -> None:
    """Go to the first packet again. Raises ValueError for a bare stream, whose packets have no times to go by."""
    try:
        container.seek(0)
    except av.FFmpegError as error:
        name = Path(container.name).name
        raise ValueError(
            f"{name} holds a video without a container, which says nothing of times ({reason(error)}); put it into one,"
            f" for instance with: ffmpeg -i {shlex.quote(name)} {shlex.quote(Path(name).stem + '.mkv')}"
        ) from None


def reason(error: Exception) -> str:
    """FFmpeg's own words for an error."""
    return getattr(error, "strerror", None) or str(error)


def _rate(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[Fraction, bool]:
    """The rate to read a stream at, and whether its timestamps vary.

    The average is off by a little where a duration is rounded; the guess is the rate that all timestamps fit. Both may
    be no more than the file's unit of time, which any timestamps fit: where the file does not say how many frames it
    has either, they are counted.
    """
    average, guess = stream.average_rate, stream.guessed_rate
    base = stream.time_base or Fraction(0)
    if average and guess and guess * base < 0.75 and abs(guess / average - 1) < 0.005:
        return guess, not _even(container, stream, guess)
    if not stream.frames:
        average = _counted_rate(container, stream) or average
    if not average or not guess:
        return average or guess or Fraction(25), False
    return (guess, False) if abs(guess / average - 1) < 0.005 else (average, True)


def _even(container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction) -> bool:
    """Whether the times of frames fit a rate, some left out perhaps, as far as the first packets tell, undecoded."""
    times = _times(container, stream, LOOKED_AT)
    # Those that are shown last may wait for others that were not looked at.
    steps = [(b - a) * (stream.time_base or 0) * rate for a, b in pairwise(times[: LOOKED_AT - 32])]
    return all(step > 0.75 and abs(step - round(step)) < 0.25 for step in steps)


def _counted_rate(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """The mean rate of a stream whose file does not say it, from when its packets are shown."""
    times = _times(container, stream)
    if len(times) < 2 or stream.time_base is None or times[-1] == times[0]:
        return None
    rate = (len(times) - 1) / ((times[-1] - times[0]) * stream.time_base)
    return Fraction(round(rate)) if abs(rate - round(rate)) < 0.02 * rate else rate.limit_denominator(1001)


def _times(container: av.container.InputContainer, stream: av.VideoStream, most: int | None = None) -> list[int]:
    """When the first packets are shown, in order; after that the container is at its beginning again."""
    packets = (packet.pts for packet in container.demux(stream) if packet.size)
    found = list(islice(packets, most))
    if found:  # one that is cut off before its first packet cannot be gone back in
        _go_back(container)
    return sorted(time for time in found if time is not None)


def _promised_frames(stream: av.VideoStream, rate: Fraction) -> int:
    """The frames that a stream says it has, or 0 where they do not fill its duration: some are cut off or left out."""
    if stream.duration is None or stream.time_base is None:
        return 0
    return stream.frames if stream.frames == round(stream.duration * stream.time_base * rate) else 0


def _duration(ticks: int | None, base: Fraction, rate: Fraction) -> int:
    """How long a frame lasts, in ticks; where the file does not say it, or only its unit, as long as at its rate."""
    return ticks if ticks and ticks > 1 else round(1 / (rate * base))


def _own_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """How long the stream itself is said to be, if it is: in ASF (.wmv) that is told of the longest one for all."""
    if stream.duration is None or stream.time_base is None or container.format.name == "asf":
        return None
    return float(stream.duration * stream.time_base)


def _promised_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    own = _own_seconds(container, stream)
    # The container's own duration may be that of a longer sound track.
    return own if own is not None else (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0
