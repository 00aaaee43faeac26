"""The sound of a video that frames were made from: copied beside the new frames as far as they reach, or as samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import av.container
import torch
from torch import Tensor

from .video_reader import open_local

LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""What is meant where a file, such as AVI with PCM, only counts channels; MP4 wants to know which they are."""
RATE = 48_000
"""Samples per second of sound that is taken apart."""
GAP = 0.05
"""Seconds by which the time of sound may differ from where its samples have come, by rounding or a clock's drift."""


@dataclass(frozen=True)
class Soundtrack:
    """The sound of the video in `source`, for frames the first of which shows the video at `start` seconds.

    Below 0 it comes before the video. Sound is heard from `begin` to `end` seconds after that frame.
    """

    source: Path
    start: float = 0.0
    begin: float = 0.0
    end: float = math.inf

    def later(self, seconds: float, lasting: float) -> Soundtrack:
        """The same for frames that begin so many seconds before these (below 0: after), of which `lasting` are kept."""
        end = min(self.end, lasting) + seconds
        return Soundtrack(self.source, self.start - seconds, max(0.0, self.begin + seconds), end)


class Sound:
    """Copies a soundtrack into a container, bit for bit; `note` says why there is none.

    Packets are written as the frames arrive: a muxer that had to wait for them would hold all frames in memory.
    Raises ValueError when the file cannot be opened.
    """

    def __init__(self, track: Soundtrack, target: av.container.OutputContainer):
        self.note, self._stream, self._target = "", None, target
        source, self._name = track.source, track.source.name
        try:
            self._file = open_local(source)
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"the sound of {source.name} cannot be read: {error.strerror or error}") from None
        tracks = self._file.streams.audio
        if not tracks:
            return
        context = tracks[0].codec_context
        name = "of an unknown kind" if context is None else context.codec.canonical_name
        if name not in target.supported_codecs or not _taken(source, target.format.name):
            self.note = f"the sound of {source.name} ({name}) does not go into this kind of file and is left out"
            return
        self._stream = _track_like(tracks[0], target)
        self._packets = self._between(_beginning(self._file) + Fraction(track.start), track.begin, track.end)
        self._next = next(self._packets, None)

    def _between(self, first: Fraction, begin: float, end: float) -> Iterator[av.Packet]:
        """Packets of the track by the time of the frames, the first of which is at `first` seconds in the file."""
        for packet in self._file.demux(self._file.streams.audio[0]):
            if packet.dts is None or packet.pts is None:
                continue
            shift = round(first / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.pts * packet.time_base >= end:
                return
            whole = shift == 0 and not begin  # with what its decoder begins with
            if whole or (packet.pts + (packet.duration or 0)) * packet.time_base > begin:
                yield packet

    def up_to(self, seconds: float) -> None:
        """Write what is heard before a time of the video."""
        while self._stream is not None and self._next is not None:
            if float((self._next.dts or 0) * self._next.time_base) >= seconds:
                return
            self._next.stream = self._stream
            try:
                self._target.mux(self._next)
                self._next = next(self._packets, None)
            except av.FFmpegError as error:
                raise ValueError(f"the sound of {self._name} cannot be copied: {error.strerror or error}") from None

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._file.close()


def _beginning(file: av.container.InputContainer) -> Fraction:
    """The second of a file at which its video begins."""
    begins = [(x.start_time or 0) * (x.time_base or Fraction(1)) for x in file.streams.video[:1]]
    return sum(begins, Fraction(0))


def read_sound(source: Path, start: float = 0.0, seconds: float = math.inf) -> Tensor | None:
    """The first sound track of a file from `start` seconds of its video on, as samples `2 n` at `RATE` in [-1, 1].

    It is silent where the track has a gap or is damaged. None if there is none, or nothing can decode it.
    Raises ValueError when the file cannot be read.
    """
    try:
        with open_local(source) as file:
            if not file.streams.audio or file.streams.audio[0].codec_context is None:
                return None
            begin = float(_beginning(file)) + start
            runs = list(_runs(_decoded(file), begin, begin + seconds))
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"the sound of {source.name} cannot be read: {error.strerror or error}") from None
    ends = [max(0, place + part.shape[1]) for place, part in runs]
    sound = torch.zeros(2, max(ends))
    for (place, part), end in zip(runs, ends, strict=True):
        sound[:, max(0, place) : end] = part[:, max(0, -place) :]
    return _cut(sound, seconds)


def _decoded(file: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """Frames of the first sound track without those that are damaged, as players pass over them."""
    for packet in file.demux(file.streams.audio[0]):
        with suppress(av.FFmpegError):
            yield from packet.decode()


def _runs(frames: Iterable[av.AudioFrame], begin: float, end: float) -> Iterator[tuple[int, Tensor]]:
    """What is heard from `begin` to `end` seconds in parts of one kind without gaps: where each is, and its samples."""
    kind: tuple[str, str, int] | None = None
    place, parts, due, resampler = 0, [torch.zeros(2, 0)], -math.inf, _resampler(2)
    for frame in frames:
        if frame.time is None or frame.time + frame.samples / frame.sample_rate <= begin:
            continue
        if frame.time >= end:
            break
        found = frame.format.name, frame.layout.name, frame.sample_rate
        if found != kind or abs(frame.time - due) > GAP:
            yield place, torch.cat([*parts, *_samples(resampler, None)], dim=1)
            place, parts, due = round((frame.time - begin) * RATE), [torch.zeros(2, 0)], frame.time
            kind, resampler = found, _resampler(frame.layout.nb_channels)
        parts += _samples(resampler, frame)
        due += frame.samples / frame.sample_rate
    yield place, torch.cat([*parts, *_samples(resampler, None)], dim=1)


def resampled(samples: Tensor, rate: int, seconds: float = math.inf) -> Tensor:
    """Samples `channels n` as `read_sound` gives them; of more than two channels, six are taken for 5.1."""
    samples = samples[: 6 if len(samples) >= 6 else 2].float().cpu().contiguous()
    layout = "5.1" if len(samples) == 6 else _layout(len(samples))
    frame = av.AudioFrame.from_ndarray(samples.numpy(), format="fltp", layout=layout)
    frame.sample_rate, resampler = rate, _resampler(len(samples))
    return _cut(torch.cat([torch.zeros(2, 0), *_samples(resampler, frame), *_samples(resampler, None)], dim=1), seconds)


def write_sound(path: Path, samples: Tensor) -> None:
    """Write samples `2 n` at `RATE` to a file (AAC)."""
    frame = av.AudioFrame.from_ndarray(samples.contiguous().numpy(), format="fltp", layout="stereo")
    # With a time, the 1,024 samples that the encoder begins with go before the first of these, not in their place.
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    with av.open(str(path), "w") as file:
        track = file.add_stream("aac", rate=RATE, layout="stereo")
        track.bit_rate = 192_000
        file.mux(track.encode(frame))
        file.mux(track.encode(None))


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"


def _resampler(channels: int) -> av.AudioResampler:
    return av.AudioResampler(format="fltp", layout=_layout(channels), rate=RATE)


def _samples(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[Tensor]:
    # FFmpeg would make one channel softer in two.
    return [torch.from_numpy(part.to_ndarray()).expand(2, -1) for part in resampler.resample(frame)]


def _cut(samples: Tensor, seconds: float) -> Tensor:
    return samples if math.isinf(seconds) else samples[:, : round(seconds * RATE)]


def _track_like(track: av.AudioStream, target: av.container.OutputContainer) -> av.AudioStream:
    """A track of a container for the packets of another."""
    made = target.add_stream_from_template(track)
    layout = LAYOUTS.get(made.codec_context.layout.name)
    if layout is not None:
        made.codec_context.layout = layout
    return made


def _taken(source: Path, kind: str) -> bool:
    """Whether a muxer takes a track's first packet: what it says of codecs leaves out much, such as Opus in .mov."""
    with open_local(source) as file:
        try:
            with av.open(BytesIO(), "w", format=kind) as tried:
                made = _track_like(file.streams.audio[0], tried)
                packet = next((packet for packet in file.demux(audio=0) if packet.dts is not None), None)
                if packet is not None:
                    packet.stream = made
                    tried.mux(packet)
        except (av.FFmpegError, ValueError):
            return False
    return True
